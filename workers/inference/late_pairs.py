"""Late interaction in pairs: query and passage in one run of a BERT, apart until the end.

Query and passage stand in one sequence, as a cross-encoder has them, so that tokens, batches,
windows and backends are those of cross-encoders. They do not see each other in the layers: a token
attends to its own segment alone, and positions begin anew with the passage. What comes out are the
token embeddings that each text would have by itself, and the score is the mean, over the query's
tokens, of the nearest passage token's cosine (Khattab and Zaharia 2020, "ColBERT", section 3.3).

Query tokens weigh differently: a word that stands in every text says little. The weights are one a
token of the vocabulary, in a file beside the model's own.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors.torch import load_file

from workers.inference.model_files import QUERY_WEIGHTS

#: Ends the name of the scales of a matrix that is kept as int8.
_SCALE: Final = ".scale"
_INT8_MOST: Final = 127
#: Added to attention where a token is not to be seen.
_UNSEEN: Final = -1e4


class LatePairs(torch.nn.Module):
    """Scores pairs of query (segment 0) and passage (segment 1); shape (pairs,), -1 to 1."""

    query_weights: torch.Tensor

    def __init__(self, bert: Any, query_weights: torch.Tensor) -> None:
        super().__init__()
        self.bert = bert
        self.register_buffer("query_weights", query_weights)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        """Return a score for each row; all three have the shape (pairs, tokens)."""
        kept = attention_mask.bool()
        passage = token_type_ids.bool() & kept
        query = ~token_type_ids.bool() & kept
        hidden = torch.nn.functional.normalize(self._encode(input_ids, query, passage), dim=-1)
        similarity = hidden @ hidden.transpose(1, 2)
        nearest = similarity.masked_fill(~passage[:, None, :], -1.0).amax(dim=2)
        weights = self.query_weights[input_ids] * query
        scores: torch.Tensor = (nearest * weights).sum(1) / weights.sum(1).clamp(min=1e-6)
        return scores

    def _encode(
        self, input_ids: torch.Tensor, query: torch.Tensor, passage: torch.Tensor
    ) -> torch.Tensor:
        places = torch.arange(input_ids.shape[1], device=input_ids.device)[None]
        positions = torch.where(passage, places - query.sum(1, keepdim=True), places)
        seen = (query[:, :, None] & query[:, None, :]) | (passage[:, :, None] & passage[:, None, :])
        hidden = self.bert.embeddings(
            input_ids=input_ids,
            position_ids=positions,
            token_type_ids=torch.zeros_like(input_ids),
        )
        attention = (~seen[:, None]).to(hidden.dtype) * _UNSEEN
        for layer in self.bert.encoder.layer:
            output = layer(hidden, attention_mask=attention)
            hidden = output[0] if isinstance(output, tuple) else output
        return torch.as_tensor(hidden)


def load_late_pairs(folder: Path, dtype: torch.dtype, attention: str) -> LatePairs:
    """Load the model in ``folder``, a BERT, and the weights of query tokens.

    Raises:
        ValueError: it is of another architecture.
    """
    config = transformers.AutoConfig.from_pretrained(
        folder, attn_implementation=attention, local_files_only=True
    )
    if config.model_type != "bert":
        raise ValueError(f"late interaction in pairs is for BERT, not for {config.model_type}")
    bert: Any = transformers.BertModel(config, add_pooling_layer=False)
    bert.load_state_dict(unpacked(load_file(folder / "model.safetensors")))
    weights = load_file(folder / QUERY_WEIGHTS)["query_weights"]
    return LatePairs(bert, weights).to(dtype).eval()


def packed(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return matrices as int8 with a scale for each row, in a quarter of the space.

    Nothing is lost that int8 inference would keep: it rounds to seven bits.
    """
    found: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if tensor.ndim == 1:
            found[name] = tensor.half()
            continue
        scale = tensor.abs().amax(1, keepdim=True).clamp(min=1e-8) / _INT8_MOST
        found[name] = (tensor / scale).round().to(torch.int8)
        found[name + _SCALE] = scale.float()
    return found


def unpacked(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the matrices of ``packed`` in fp32, and others as they are."""
    return {
        name: tensor.float() * tensors.get(name + _SCALE, torch.ones(()))
        for name, tensor in tensors.items()
        if not name.endswith(_SCALE)
    }
