"""Late interaction, learned: token embeddings of a BERT that meet well between query and passage.

What is trained is what ``workers.inference.late_pairs`` runs. A bi-encoder is a good beginning: the
token embeddings that it averages already meet. all-MiniLM-L6-v2, untrained, orders 30 candidates of
Cranfield by MaxSim alone at nDCG@10 0.52, where a cross-encoder of its first three layers, which
begins at chance, was at 0.46 after 90 minutes of training. Queries and passages are encoded apart,
so that in one step each query meets the passages of all others, for nothing: the loss is the
cross-entropy over them and over hard negatives (Karpukhin et al. 2020; Khattab and Zaharia 2020),
and a smaller one the other way round, in which a query that is near but not answered is held
against the passage too.

The lower layers stay as they are. What they make of a text is made once and kept, which halves the
work, and they keep what a small set of examples would have them forget. At the end the weights are
averaged with those of the beginning, for the same reason (Wortsman et al. 2022, "WiSE-FT").
"""

import logging
import math
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from torch.nn import functional

from workers.inference.late_pairs import packed
from workers.inference.model_files import QUERY_WEIGHTS
from workers.inference.tokens import load_tokenizer

log = logging.getLogger(__name__)

#: Texts of one run; more only pads more.
_RUN: Final = 16
_UNSEEN: Final = -1e9
_SPECIAL: Final = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")


@dataclass(frozen=True, slots=True)
class LateExample:
    """A query with passages that answer it, and some that look alike and do not.

    ``near_misses`` are queries that resemble it and that its passages do not answer.
    """

    query: str
    relevant: list[str]
    negatives: list[str] = field(default_factory=list)
    near_misses: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LateRecipe:
    """How to train; ``minutes`` ends it early, with the learning rate gone down by then."""

    steps: int = 1000
    minutes: float = math.inf
    batch: int = 20
    negatives: int = 2
    frozen_layers: int = 3
    query_tokens: int = 48
    passage_tokens: int = 128
    learning_rate: float = 3e-5
    weight_learning_rate: float = 5e-4
    warm_up_steps: int = 50
    backward_share: float = 0.3
    kept_of_base: float = 0.25
    seed: int = 0


class LateLearner:
    """A BERT in training, with the weights of query tokens beside it."""

    def __init__(self, base: Path, examples: Sequence[LateExample], recipe: LateRecipe) -> None:
        torch.manual_seed(recipe.seed)
        self._recipe = recipe
        self._chance = random.Random(recipe.seed)  # noqa: S311  it deals examples, and keeps no secret
        self.tokenizer = load_tokenizer(base)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self.bert: Any = transformers.AutoModel.from_pretrained(
            base, add_pooling_layer=False, attn_implementation="sdpa", local_files_only=True
        ).to(self._device)
        self._begin = {name: value.clone() for name, value in self.bert.state_dict().items()}
        layers = list(self.bert.encoder.layer)
        self._lower, self._upper = layers[: recipe.frozen_layers], layers[recipe.frozen_layers :]
        for module in self.bert.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # what is kept of the lower layers has none either
        self.bert.requires_grad_(requires_grad=False)
        for layer in self._upper:
            layer.requires_grad_(requires_grad=True)
        first = _rarity(self.tokenizer, examples).to(self._device)
        self._first_weights = first.clone()
        self.query_weights = torch.nn.Parameter(first)
        self._sharpness = torch.nn.Parameter(torch.tensor(math.log(30.0), device=self._device))
        self._kept: dict[tuple[str, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def parameters(self) -> list[dict[str, Any]]:
        """Return what is learned, with the learning rate of each part."""
        own = [parameter for layer in self._upper for parameter in layer.parameters()]
        return [
            {"params": own, "lr": self._recipe.learning_rate},
            {"params": [self.query_weights], "lr": self._recipe.weight_learning_rate},
            {"params": [self._sharpness], "lr": self._recipe.weight_learning_rate},
        ]

    def loss(self, batch: Sequence[LateExample]) -> torch.Tensor:
        """Return the loss of a batch, in which each query also meets the others' passages."""
        passages: list[str] = []
        answers: list[int] = []
        for example in batch:
            answers.append(len(passages))
            passages.append(self._chance.choice(example.relevant))
            others = [text for text in example.negatives if text not in example.relevant]
            passages += self._chance.sample(others, min(self._recipe.negatives, len(others)))
        near = [self._chance.choice(each.near_misses) for each in batch if each.near_misses]
        queries = [example.query for example in batch] + near
        scores = self._scores(queries, passages) * self._sharpness.exp()
        own = scores[: len(batch)].masked_fill(
            _answered(batch, passages, answers, self._device), -1e4
        )
        places = torch.tensor(answers, device=self._device)
        forth = functional.cross_entropy(own, places)
        back = functional.cross_entropy(
            scores[:, answers].T, torch.arange(len(batch), device=self._device)
        )
        return forth + self._recipe.backward_share * back

    def averaged(self) -> dict[str, torch.Tensor]:
        """Return the weights, with the recipe's share of those that they began as."""
        share = self._recipe.kept_of_base
        now = self.bert.state_dict()
        return {
            name: torch.lerp(now[name], before, share) if before.is_floating_point() else before
            for name, before in self._begin.items()
        }

    def averaged_weights(self) -> torch.Tensor:
        """Return the weights of query tokens, averaged alike; none is below 0."""
        share = self._recipe.kept_of_base
        return torch.lerp(self.query_weights.detach(), self._first_weights, share).clamp(min=0)

    def _scores(self, queries: Sequence[str], passages: Sequence[str]) -> torch.Tensor:
        """Return the weighted mean of MaxSim, shape (queries, passages)."""
        asked = self._encode(queries, self._recipe.query_tokens)
        found = self._encode(passages, self._recipe.passage_tokens)
        tokens = torch.nn.utils.rnn.pad_sequence([each for each, _ in found], batch_first=True)
        lengths = torch.tensor([len(each) for each, _ in found], device=self._device)
        beyond = torch.arange(tokens.shape[1], device=self._device)[None] >= lengths[:, None]
        rows = []
        for embedded, ids in asked:
            near = torch.einsum("qd,ptd->qpt", embedded, tokens).masked_fill(beyond[None], -1.0)
            weights = self.query_weights[ids].clamp(min=0)
            weighed = (near.amax(2) * weights[:, None]).sum(0)
            rows.append(weighed / weights.sum().clamp(min=1e-6))
        return torch.stack(rows)

    def _encode(self, texts: Sequence[str], most: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return each text's token embeddings of length 1, and its token ids."""
        lower = self._through_lower(texts, most)
        found: list[tuple[torch.Tensor, torch.Tensor]] = [lower[0]] * len(texts)
        for places in _runs([len(ids) for _, ids in lower]):
            hidden = torch.nn.utils.rnn.pad_sequence(
                [lower[place][0].float() for place in places], batch_first=True
            )
            lengths = torch.tensor([len(lower[place][1]) for place in places], device=self._device)
            hidden = functional.normalize(self._through(self._upper, hidden, lengths), dim=-1)
            for row, place in enumerate(places):
                ids = lower[place][1]
                found[place] = (hidden[row, : len(ids)], ids)
        return found

    def _through_lower(
        self, texts: Sequence[str], most: int
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return what the frozen layers make of the texts; each is run once for all steps."""
        new = [text for text in dict.fromkeys(texts) if (text, most) not in self._kept]
        read = {text: _cut(self.tokenizer, text, most) for text in new}
        for places in _runs([len(read[text]) for text in new]):
            ids = [torch.tensor(read[new[place]], device=self._device) for place in places]
            lengths = torch.tensor([len(each) for each in ids], device=self._device)
            padded = torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)
            with torch.no_grad():
                hidden = self._through(self._lower, self.bert.embeddings(input_ids=padded), lengths)
            for row, place in enumerate(places):
                kept = hidden[row, : len(ids[row])].bfloat16()
                self._kept[new[place], most] = (kept, ids[row])
        return [self._kept[text, most] for text in texts]

    def _through(
        self, layers: Sequence[Any], hidden: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        beyond = torch.arange(hidden.shape[1], device=self._device)[None] >= lengths[:, None]
        unseen = torch.zeros_like(hidden[:, :, 0]).masked_fill(beyond, _UNSEEN)[:, None, None]
        with torch.autocast(self._device, torch.bfloat16):
            for layer in layers:
                output = layer(hidden, attention_mask=unseen.to(hidden.dtype))
                hidden = output[0] if isinstance(output, tuple) else output
        return hidden.float()


def train_late_interaction(
    base: Path, examples: Sequence[LateExample], recipe: LateRecipe, output: Path
) -> list[float]:
    """Train from the bi-encoder in ``base``, write the model, and return the loss of each step.

    ``output`` is made: ``config.json``, ``tokenizer.json``, weights as int8 and the weights of
    query tokens.
    """
    learner = LateLearner(base, examples, recipe)
    parts = learner.parameters()
    optimizer = torch.optim.AdamW(parts, weight_decay=0.01)
    rates = [part["lr"] for part in parts]
    began = time.monotonic()
    losses: list[float] = []
    for batch in _batches(examples, recipe):
        done = max(len(losses) / recipe.steps, (time.monotonic() - began) / 60 / recipe.minutes)
        if done >= 1:
            break
        share = min(1.0, (len(losses) + 1) / recipe.warm_up_steps, max(0.05, 1 - done))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = share * rate
        loss = learner.loss(batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no hints for it
        torch.nn.utils.clip_grad_norm_([each for part in parts for each in part["params"]], 1.0)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % 20 == 0:
            log.info("step %d of %d: loss %.3f", len(losses), recipe.steps, sum(losses[-20:]) / 20)
    write_late_model(learner, output)
    return losses


def write_late_model(learner: LateLearner, output: Path) -> None:
    """Write what ``late_pairs`` loads."""
    output.mkdir(parents=True, exist_ok=True)
    learner.bert.config.save_pretrained(output)
    floats = {
        name: value.cpu() for name, value in learner.averaged().items() if value.is_floating_point()
    }
    save_file(packed(floats), output / "model.safetensors")
    weights = learner.averaged_weights().cpu().float().contiguous()
    save_file({"query_weights": weights}, output / QUERY_WEIGHTS)
    pair_tokenizer(learner.tokenizer).save(str(output / "tokenizer.json"))


def pair_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with pairs in which each text stands as it does alone."""
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [CLS]:1 $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return tokenizer


def _rarity(tokenizer: Tokenizer, examples: Sequence[LateExample]) -> torch.Tensor:
    """Return each token's inverse document frequency among the passages, 1 for the rarest."""
    texts = list(dict.fromkeys(text for each in examples for text in each.relevant))
    seen: Counter[int] = Counter()
    for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
        seen.update(set(encoding.ids))
    weights = torch.full((tokenizer.get_vocab_size(),), math.log1p(2 * len(texts)))
    for token, count in seen.items():
        weights[token] = math.log1p(len(texts) / (count + 0.5))
    for name in _SPECIAL:
        weights[tokenizer.token_to_id(name)] = 0.0
    return weights / weights.max()


def _answered(
    batch: Sequence[LateExample], passages: Sequence[str], answers: Sequence[int], device: str
) -> torch.Tensor:
    """Return where a passage answers a query that it was not drawn for: it is no negative."""
    return torch.tensor(
        [
            [place != answer and text in example.relevant for place, text in enumerate(passages)]
            for example, answer in zip(batch, answers, strict=True)
        ],
        device=device,
    )


def _cut(tokenizer: Tokenizer, text: str, most: int) -> list[int]:
    ids: list[int] = tokenizer.encode(text).ids
    return ids if len(ids) <= most else [*ids[: most - 1], ids[-1]]


def _runs(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield places of texts of about the same length."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    for start in range(0, len(order), _RUN):
        yield order[start : start + _RUN]


def _batches(examples: Sequence[LateExample], recipe: LateRecipe) -> Iterator[list[LateExample]]:
    chance = random.Random(recipe.seed)  # noqa: S311  it deals examples, and keeps no secret
    while True:
        order = chance.sample(list(examples), len(examples))
        for start in range(0, max(1, len(order) - recipe.batch + 1), recipe.batch):
            yield order[start : start + recipe.batch]
