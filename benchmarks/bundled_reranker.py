"""Makes the bundled reranker anew: from the test collections to weights, in one command.

    rankgres up --detach
    python -m benchmarks.relevance --data FOLDER          # fills the collections docs and scifact
    python -m benchmarks.bundled_reranker --data FOLDER --output MODEL --minutes 60

What it learns from: the judged training queries of `docs` and `scifact`, queries that were written
by reading passages of both for this purpose (benchmarks/written_queries.jsonl.gz; no text of the
passages is in there), weak queries of two textbooks of `openstax`, and headings of documentation.
Hard negatives are what our own candidate stage returns and nobody judged relevant; its first three
are left out, as they may well be. Textbooks whose own preface says CC BY-NC-SA are left out of it
all: a model that is shipped must not rest on them.

What it measures: nothing; `python -m benchmarks.rerank_relevance` does. Examples are made from the
running stack in about a minute a thousand queries. Training takes about 3 s a step on two idle
cores with AVX-512 bf16, and `--minutes` ends it.
"""

import argparse
import gzip
import json
import logging
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pgvector import Vector
from psycopg.rows import dict_row

from service.db.connection import Connection, connect
from service.evaluation.judgements import read_judgements
from service.local.endpoints import database_url
from service.model_cards import DEFAULT_ENCODER
from service.settings import get_settings
from workers.inference.encoder import Encoder, load_encoder
from workers.inference.model_files import locate
from workers.training.late_interaction import LateExample, LateRecipe, train_late_interaction

_WRITTEN: Final = Path(__file__).parent / "written_queries.jsonl.gz"
#: Textbooks of OpenStax that allow their text to be used for what is sold, by their own prefaces.
_FREE_BOOKS: Final = {"principles-economics-bundle", "business-law"}
_BOOK: Final = re.compile(r"^(?:openstax:)?([a-z-]+)/m\d+")
_CANDIDATES: Final = 50
_SKIPPED: Final = 3
_RELEVANT: Final = 2
_WEAK, _HEADINGS = 1500, 1500
#: Between the parts of a heading path, as the collections have it.
_BELOW: Final = "\u203a"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query to be mined for; ``grades`` by document, ``document`` where only that is known."""

    collection: str
    text: str
    grades: Mapping[str, int]
    near_misses: list[str] = field(default_factory=list)
    document: str | None = None


def free(document: str) -> bool:
    """Return whether a model that is shipped may learn from a document of that id."""
    book = _BOOK.match(document)
    return not document.startswith("openstax:") or (book is not None and book[1] in _FREE_BOOKS)


def judged(data: Path, name: str) -> Iterator[_Asked]:
    """Yield the judged training queries of a set."""
    judgements = read_judgements(
        data / name / "queries_train.jsonl", data / name / "qrels_train.tsv"
    )
    near: dict[str, list[str]] = {}
    misses = data / name / "near_misses_train.jsonl"
    for row in _rows(misses) if misses.is_file() else ():
        near.setdefault(row["of"], []).append(row["query"])
    for query, grades in judgements.relevance.items():
        if free(max(grades, key=lambda document: grades[document])):
            yield _Asked(name, judgements.queries[query], grades, near.get(query, []))


def written() -> Iterator[_Asked]:
    """Yield the queries that were written by reading a passage."""
    for row in _rows(_WRITTEN):
        near = [row["near_miss"]] if row["near_miss"] else []
        for query in row["queries"]:
            yield _Asked(row["set"], query, {row["id"]: 3}, near)


def weak(data: Path, chance: random.Random) -> Iterator[_Asked]:
    """Yield questions, objectives and glossary terms of a section: its best passage answers."""
    rows = [
        row
        for row in _rows(data / "openstax" / "weak_queries.jsonl.gz")
        if row["document"].split("/")[0] in _FREE_BOOKS
    ]
    for row in chance.sample(rows, min(_WEAK, len(rows))):
        yield _Asked("docs", row["text"], {}, document=f"openstax:{row['document']}/")


def headings(corpus: Mapping[str, str], chance: random.Random) -> Iterator[LateExample]:
    """Yield the ends of heading paths as queries for the passage below, without hard negatives."""
    seen: set[str] = set()
    for name in chance.sample(sorted(corpus), len(corpus)):
        title, _, body = corpus[name].partition(". ")
        query = title.rpartition(_BELOW)[2].strip()
        if (
            _BELOW in title
            and title not in seen
            and 2 <= len(query.split()) <= 10
            and len(body) > 300
        ):
            seen.add(title)
            yield LateExample(query, [body])
        if len(seen) == _HEADINGS:
            return


def mine(
    connection: Connection, encoder: Encoder, asked: Iterable[_Asked], corpus: Mapping[str, str]
) -> Iterator[LateExample]:
    """Yield an example for each query whose answer is known, with negatives of our own stage."""
    cursor = connection.cursor(row_factory=dict_row)
    for query in asked:
        embedding = encoder.encode([query.text], "query").embeddings[0]
        cursor.execute(
            "SELECT * FROM rankgres.search_candidates(%s, %s, %s, candidates => %s)",
            [query.collection, query.text, Vector(embedding), _CANDIDATES],
        )
        found = {
            row["document_id"]: f"{row['heading']}. {row['text']}"
            if row["heading"]
            else row["text"]
            for row in cursor.fetchall()
            if row["passage"] == 1 and free(row["document_id"])
        }
        grades = dict(query.grades)
        if query.document is not None:
            own = [name for name in found if name.startswith(query.document)]
            grades = {name: 3 if place == 0 else 1 for place, name in enumerate(own)}
        # Where judgements have one grade alone, that one is relevant.
        least = min(_RELEVANT, max(grades.values(), default=_RELEVANT))
        relevant = [
            found.get(name) or corpus[f"{query.collection}|{name}"]
            for name, grade in grades.items()
            if grade >= least and f"{query.collection}|{name}" in corpus
        ]
        if not relevant:
            continue
        refused = [found[name] for name, grade in grades.items() if grade < 1 and name in found]
        mined = [text for name, text in list(found.items())[_SKIPPED:] if name not in grades]
        yield LateExample(query.text, relevant, refused + mined[:30], query.near_misses)


def read_corpus(data: Path, name: str) -> Iterator[tuple[str, str]]:
    """Yield collection and id, and heading with text, of the passages that are free."""
    path = next(file for file in (data / name).glob("corpus.jsonl*"))
    for row in _rows(path):
        if free(row["_id"]):
            yield f"{name}|{row['_id']}", f"{row['title']}. {row['text']}"


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file, gzip.open(file) if path.suffix == ".gz" else file as lines:
        yield from map(json.loads, lines)


def main() -> None:
    """Make the examples, train, and write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=1000)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chance = random.Random(7)
    corpus = {
        name: text for each in ("docs", "scifact") for name, text in read_corpus(options.data, each)
    }
    asked = [
        *judged(options.data, "docs"),
        *judged(options.data, "scifact"),
        *written(),
        *weak(options.data, chance),
    ]
    settings = get_settings()
    encoder = load_encoder(DEFAULT_ENCODER, settings)
    with connect(database_url(settings)) as connection:
        examples = list(mine(connection, encoder, asked, corpus))
    encoder.close()
    examples += headings({k: v for k, v in corpus.items() if k.startswith("docs|")}, chance)
    print(f"{len(examples)} examples of {len(asked)} queries and {_HEADINGS} headings")
    recipe = LateRecipe(steps=options.steps, minutes=options.minutes)
    losses = train_late_interaction(locate(DEFAULT_ENCODER), examples, recipe, options.output)
    print(f"{len(losses)} steps; {options.output} is 'late:{options.output}' for the settings")


if __name__ == "__main__":
    main()
