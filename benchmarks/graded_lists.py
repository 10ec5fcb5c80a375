"""Lists graded by reading: 179 queries, each with the first 20 of our own hybrid candidates.

The collections of judgements mostly know one relevant document a query, and what a search finds
besides counts as wrong. These lists have every candidate graded, 0 to 3, by a language model that
read query and passages (cut at 650 characters) in random order: 2.4 of 20 have grade 2 or 3, 6.3
more than 0. The queries were written by reading one of the passages, for `docs` (119) and `scifact`
(60). The bundled reranker learned from them and from the passages that they were written for, so
its own gain cannot be told by these lists; what feedback does to the hybrid order alone, weight 0,
can, and that is what the card's feedback was chosen by. No text of a passage is in the file.
"""

import gzip
import json
from pathlib import Path
from typing import Final

from service.evaluation.judgements import Judgements

GRADED_COLLECTIONS: Final = ("docs", "scifact")
_FILE: Final = Path(__file__).parent / "graded_lists.jsonl.gz"


def read_graded_lists(collection: str) -> Judgements:
    """Return the queries of a collection with the grades of their candidates."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["set"] == collection]
    return Judgements(
        queries={str(number): row["query"] for number, row in enumerate(rows)},
        relevance={str(number): row["grades"] for number, row in enumerate(rows)},
        unjudged=0,
        unasked=0,
    )
