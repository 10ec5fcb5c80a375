"""nDCG@10 and recall@100 of lexical, vector and hybrid search, beside bm25s and exact vectors.

    rankgres up --detach
    python -m benchmarks.relevance --data FOLDER --reference CACHE

What is measured: `rankgres.search_candidates` with nothing but defaults, in the running stack, on
every folder of FOLDER that has a corpus, queries and judgements (corpus.jsonl, queries.jsonl,
qrels.tsv as BEIR has them, each plain or with .gz). A set's collection has the name of its folder;
where there is none it is created and filled first. The set's language decides the text-search
configuration, and is the end of its name: xquad_de is German.

The baselines are made in the same run, from the same files: `bm25s` (k1 1.2, b 0.75, English stop
words, Snowball stemmer for English, none for other languages) over title and text; with
`--reference` also `exact`, all-MiniLM-L6-v2 in fp32 over title and text cut at 256 tokens, searched
exactly, and `convex`, the half-and-half sum of both lists' scores, each scaled to 0..1. Encoding
took 55 ms of one core a document of 170 words; CACHE keeps what was encoded, and
`--reference-sets` names the sets to do it for.

How to read it: the last table has the figures that are promised. `lexical` is ours less bm25s (at
least -0.01), `hybrid` ours less convex (at least 0), `gain` hybrid less the better of lexical and
vector (on no set below -0.005, on average at least 0.02). Ends with 1 where a promise is broken.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.filling import fill, read_documents
from benchmarks.machine import machine_line
from benchmarks.relevance_baselines import bm25_lists, convex_rankings, exact_lists
from service.collections.collection import (
    CollectionPlan,
    active_generation,
    create_collection,
    list_collections,
)
from service.db.connection import Connection, connect
from service.evaluation.candidate_lists import AskedQuery, CandidateStage, embed_queries
from service.evaluation.judgements import Judgements, read_judgements
from service.evaluation.metrics import measure_run
from service.ingest.documents import Document
from service.local.endpoints import database_url, redis_url
from service.search.task_sender import TaskSender
from service.settings import get_settings

#: What is asked of ours; everything else is as it is built in.
RUNS = {"lexical": {"mode": "lexical"}, "vector": {"mode": "vector"}, "hybrid": {}}
#: Text-search configuration by the end of a set's name; Thai and Chinese have none of their own.
LANGUAGES = {"de": "german", "es": "spanish", "ar": "arabic", "th": "auto", "zh": "auto"}
_MEASURES = ("nDCG@10", "recall@100")
_THREADS = 2
_ALL = sys.maxsize

#: How far each figure may be below, and where the mean gain has to be.
LEXICAL_SLACK, GAIN_SLACK, MEAN_GAIN = 0.01, 0.005, 0.02

#: Metrics by run.
Figures = dict[str, dict[str, float]]
Rankings = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class TestSet:
    """A folder with a corpus, queries and judgements."""

    name: str
    corpus: Path
    queries: Path
    qrels: Path

    @property
    def language(self) -> str | None:
        """Return the text-search configuration of a set that is not in English."""
        return LANGUAGES.get(self.name.rpartition("_")[2]) if "_" in self.name else None


def main() -> None:
    """Measure every set, print its table, then what was promised."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the sets' folders")
    parser.add_argument("--sets", help="names of folders, with commas; unset: all")
    parser.add_argument("--reference", type=Path, metavar="CACHE", help="make exact and convex too")
    parser.add_argument("--reference-sets", help="sets with exact and convex; unset: all")
    parser.add_argument("--limit", type=int, help="ask only the first so many queries of a set")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()

    print(f"{machine_line()}")
    sets = find_sets(options.data, options.sets.split(",") if options.sets else None)
    referred = options.reference_sets.split(",") if options.reference_sets else None
    figures: dict[str, Figures] = {}
    for each in sets:
        judgements = read_judgements(each.queries, each.qrels, options.limit)
        documents = read_documents(each.corpus, _ALL)
        print(f"\n{each.name}: {len(documents):,} documents, {len(judgements.queries)} queries")
        rankings = ours(each, documents, judgements)
        cache = options.reference if referred is None or each.name in referred else None
        rankings |= baselines(each, documents, judgements, cache)
        figures[each.name] = {
            name: measure_run(judgements.relevance, ranking).mean
            for name, ranking in rankings.items()
        }
        print_set(figures[each.name])
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if print_summary(figures) else 1)


def find_sets(data: Path, names: Sequence[str] | None) -> list[TestSet]:
    """Return the named sets of a folder, or all, by name; a folder without judgements is none."""
    found = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        files = [one_of(folder, name) for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv")]
        corpus, queries, qrels = files
        if corpus and queries and qrels and (names is None or folder.name in names):
            found.append(TestSet(folder.name, corpus, queries, qrels))
    missing = set(names or ()) - {each.name for each in found}
    if missing or not found:
        raise SystemExit(f"{data} has no set {', '.join(sorted(missing)) or 'at all'}")
    return found


def one_of(folder: Path, name: str) -> Path | None:
    """Return a file, plain or compressed, or None."""
    choices = (folder / name, folder / f"{name}.gz")
    return next((path for path in choices if path.exists()), None)


def ours(
    each: TestSet, documents: Sequence[Document], judgements: Judgements
) -> dict[str, Rankings]:
    """Return what our searches find, with the set's collection made and filled where it is not."""
    with connect(database_url(), autocommit=True) as connection:
        ensure_collection(connection, each, documents)
        generation = active_generation(connection, each.name)
        asked = embed_queries(TaskSender(redis_url()), get_settings(), generation, judgements)
    parts = [asked[first::_THREADS] for first in range(_THREADS)]
    found: dict[str, Rankings] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for run, parameters in RUNS.items():
            asking = partial(search_part, each.name, parameters)
            found[run] = {
                query: ranking
                for part in pool.map(asking, parts)
                for query, ranking in part.items()
            }
    return found


def search_part(
    collection: str, parameters: Mapping[str, object], queries: Sequence[AskedQuery]
) -> dict[str, list[str]]:
    """Return the documents found for some of the queries, over a connection of their own."""
    with connect(database_url(), autocommit=True) as connection:
        return CandidateStage(connection, collection, queries).search(parameters).rankings


def ensure_collection(connection: Connection, each: TestSet, documents: Sequence[Document]) -> None:
    """Create and fill the set's collection, unless there is one with as many documents."""
    statuses = {status.collection: status for status in list_collections(connection)}
    if each.name not in statuses:
        plan = (
            CollectionPlan(each.name, text_search_config=each.language)
            if each.language
            else CollectionPlan(each.name)
        )
        with connection.transaction():
            create_collection(connection, plan)
    elif statuses[each.name].documents == len(documents) and not statuses[each.name].waiting:
        return
    print("  filling the collection …", flush=True)
    filling = fill(connection, active_generation(connection, each.name), documents)
    print(f"  {filling.chunks:,} chunks in {filling.seconds + filling.index_seconds:.0f} s")


def baselines(
    each: TestSet, documents: Sequence[Document], judgements: Judgements, cache: Path | None
) -> dict[str, Rankings]:
    """Return what the baselines find."""
    words = bm25_lists(documents, judgements.queries, None if each.language else "english")
    found: dict[str, Rankings] = {"bm25s": {query: list(found) for query, found in words.items()}}
    if cache:
        near = exact_lists(documents, judgements.queries, cache / each.name)
        found["exact"] = {query: list(found) for query, found in near.items()}
        found["convex"] = convex_rankings(words, near)
    return found


def print_set(figures: Figures) -> None:
    """Print one line a run."""
    print(f"  {'':10}" + "".join(f"{measure:>12}" for measure in _MEASURES))
    for run, metrics in figures.items():
        print(f"  {run:10}" + "".join(f"{metrics[measure]:12.4f}" for measure in _MEASURES))


def print_summary(figures: Mapping[str, Figures]) -> bool:
    """Print what was promised, set by set, and return whether all of it holds."""
    headings = ("lexical", "hybrid", "gain")
    print(f"\n{'nDCG@10, less':16}{'bm25s':>10}{'convex':>10}{'better stage':>14}")
    print(f"{'':16}{headings[0]:>10}{headings[1]:>10}{headings[2]:>14}")
    gains, broken = [], []
    for name, runs in figures.items():
        found = {run: metrics["nDCG@10"] for run, metrics in runs.items()}
        lexical = found["lexical"] - found["bm25s"]
        convex = found["hybrid"] - found["convex"] if "convex" in found else None
        gain = found["hybrid"] - max(found["lexical"], found["vector"])
        gains.append(gain)
        broken += [
            f"{name}: {what}"
            for what, holds in (
                ("lexical is below bm25s", lexical >= -LEXICAL_SLACK),
                ("hybrid is below convex", convex is None or convex >= 0),
                ("hybrid is below its better stage", gain >= -GAIN_SLACK),
            )
            if not holds
        ]
        beside = "" if convex is None else f"{convex:+.4f}"
        print(f"{name:16}{lexical:+10.4f}{beside:>10}{gain:+14.4f}")
    mean = sum(gains) / len(gains)
    print(f"{'mean':16}{'':20}{mean:+14.4f}")
    if mean < MEAN_GAIN:
        broken.append(f"the mean gain is below {MEAN_GAIN}")
    print("\n" + ("\n".join(f"BROKEN {what}" for what in broken) or "all of it holds"))
    if without := [name for name, runs in figures.items() if "convex" not in runs]:
        print(f"hybrid against convex was not measured on {', '.join(without)}")
    return not broken


if __name__ == "__main__":
    main()
