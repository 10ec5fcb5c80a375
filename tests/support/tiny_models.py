"""Tiny models with random weights, made in the shape of families that no package carries."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    MPNetConfig,
    MPNetModel,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
)

WORDS = [
    *("how", "do", "i", "run", "a", "command", "with", "timeout", "wait", "for", "the", "child"),
    *("kill", "it", "in", "time", "eggs", "sugar"),
]
#: As XLM-RoBERTa and MPNet number their special tokens.
_SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}


_SIZES = {
    "vocab_size": len(_SPECIAL) + len(WORDS),
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "initializer_range": 0.5,
    "pad_token_id": _SPECIAL["<pad>"],
    "bos_token_id": _SPECIAL["<s>"],
    "eos_token_id": _SPECIAL["</s>"],
}


def make_xlm_roberta(folder: Path) -> Path:
    """Write a cross-encoder like bge-reranker: one segment, pad id 1, and no activation named.

    It reads 64 tokens: the first of its 66 positions belong to padding.
    """
    config: Any = XLMRobertaConfig.from_dict(_SIZES | {"type_vocab_size": 1, "num_labels": 1})
    torch.manual_seed(3)
    return _write(folder, XLMRobertaForSequenceClassification(config))


def make_mpnet(folder: Path) -> Path:
    """Write a bi-encoder like all-mpnet-base-v2: relative positions, pad id 1, no segments."""
    config: Any = MPNetConfig.from_dict(_SIZES)
    torch.manual_seed(3)
    return _write(folder, MPNetModel(config))


def _write(folder: Path, model: Any) -> Path:
    model.eval().save_pretrained(folder)
    vocabulary = _SPECIAL | {word: number for number, word in enumerate(WORDS, len(_SPECIAL))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        # Some tokenizers of this family tell segments apart all the same: the model must not be.
        pair="<s> $A </s> </s>:1 $B:1 </s>:1",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    names = {"bos": "<s>", "cls": "<s>", "eos": "</s>", "sep": "</s>", "pad": "<pad>"}
    wrapped: Any = PreTrainedTokenizerFast
    wrapped(
        tokenizer_object=tokenizer,
        model_max_length=64,
        **{f"{name}_token": token for name, token in names.items()},
    ).save_pretrained(folder)
    return folder
