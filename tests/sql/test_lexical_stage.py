"""The lexical stage where postings are too many to read: what it promises, against the formula."""

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.db.connection import Connection, connect
from tests.support.collections import (
    chunk,
    generation_of,
    make_collection,
    replace_chunks,
    value,
)
from tests.support.databases import DatabaseServer
from tests.support.lexical import Hit, bm25, lexical_explained, lexical_hits

COUNT = 4000
#: Less than what most of the queries below have to read.
BUDGET = 300
WORDS = [f"word{number}" for number in range(300)]


def random_texts(seed: int, count: int, words: list[str], most: int) -> dict[str, str]:
    """Return texts of common and rare words, short and long ones."""
    source = random.Random(seed)
    weights = [1 / (place + 1) for place in range(len(words))]
    return {
        f"doc{number:04}": " ".join(source.choices(words, weights, k=source.randint(1, most)))
        for number in range(count)
    }


TEXTS = random_texts(3, COUNT, WORDS, 40)
NUMBERS = {name: number for number, name in enumerate(TEXTS)}


@pytest.fixture(scope="module")
def common_urls(_servers: dict[int, DatabaseServer]) -> Iterator[dict[int, str]]:
    """On each version, a collection whose words stand in many chunks."""
    with ExitStack() as stack:
        urls = {}
        for version, server in _servers.items():
            url = urls[version] = stack.enter_context(server.clone())
            with connect(url, autocommit=True) as connection:
                chunks = [
                    chunk(name, text, filters={"tenth": n % 10, "few": n % 400, "number": n})
                    for (name, text), n in zip(TEXTS.items(), range(COUNT), strict=True)
                ]
                replace_chunks(connection, make_collection(connection), chunks)
                connection.execute("VACUUM ANALYZE")
        yield urls


@pytest.fixture
def common(server: DatabaseServer, common_urls: dict[int, str]) -> Iterator[Connection]:
    with connect(common_urls[server.version]) as connection:
        yield connection
        connection.rollback()


def hits(connection: Connection, query: str, **options: Any) -> list[Hit]:
    generation = generation_of(connection, "papers")
    arguments = {"posting_budget": BUDGET, **options}
    return lexical_hits(connection, "search_lexical_v2", generation, query, **arguments)


def assert_best(found: list[Hit], scores: Mapping[str, float], candidates: int) -> None:
    """Assert that these are the best documents; equals may stand for each other at the cut."""
    best = sorted(scores.values(), reverse=True)[:candidates]
    assert [hit.score for hit in found] == pytest.approx(best)
    assert [hit.score for hit in found] == pytest.approx([scores[hit.document_id] for hit in found])
    assert len({hit.document_id for hit in found}) == len(found)


def test_rungs_find_what_scoring_everything_finds(common: Connection) -> None:
    source = random.Random(8)
    overlaps = []
    for _ in range(25):
        query = " ".join(source.sample(WORDS[:20], 2) + source.sample(WORDS[60:], 2))
        scores = bm25(TEXTS, query)
        found = hits(common, query, posting_budget=800)
        told = lexical_explained(common)
        assert told["plan"] == "rungs"
        assert told["exact"] is not told["bounded"]
        assert told["scored"] < len(scores)
        assert {hit.document_id: hit.score for hit in found} == pytest.approx(
            {hit.document_id: scores[hit.document_id] for hit in found}
        )
        best = sorted(scores, key=lambda name: (-scores[name], name))[:10]
        overlaps.append(len(set(best) & {hit.document_id for hit in found}) / 10)
    assert sum(overlaps) / len(overlaps) >= 0.9


same_connection = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@same_connection
@given(
    st.lists(
        st.sampled_from([*WORDS[:12], *WORDS[40:260:20], *WORDS[-5:]]), min_size=1, max_size=7
    ),
    st.sampled_from([1, 5, 20]),
    st.sampled_from([50, 300, 2000, 100_000]),
)
def test_a_list_that_is_called_exact_is_exact(
    common: Connection, words: list[str], candidates: int, budget: int
) -> None:
    query = " ".join(words)
    found = hits(common, query, candidates=candidates, posting_budget=budget)
    told = lexical_explained(common)
    assert told["bounded"] is not told["exact"]
    if budget == 100_000:
        assert (told["plan"], told["exact"]) == ("complete", True)
    if told["exact"]:
        assert_best(found, bm25(TEXTS, query), candidates)
    else:
        assert told["plan"] == "rungs"


def test_rungs_end_where_no_chunk_outside_can_reach_what_was_found(common: Connection) -> None:
    source = random.Random(1)
    proven = 0
    for _ in range(60):
        words = source.sample(WORDS[:30], 2)
        words += source.choices(WORDS[30:120]) * source.randint(1, 3)
        candidates = source.choice([1, 3, 10])
        found = hits(common, " ".join(words), candidates=candidates, posting_budget=1500)
        told = lexical_explained(common)
        if told["plan"] == "rungs" and told["exact"]:
            scores = bm25(TEXTS, " ".join(words))
            assert_best(found, scores, candidates)
            proven += told["scored"] < len(scores) / 2
    assert proven >= 10


@same_connection
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 9), min_size=1, max_size=6),
    st.sampled_from([(1.2, 0.75), (0.9, 0.4), (2.0, 0.0), (0.0, 1.0)]),
    st.tuples(st.integers(1, 6), st.integers(1, 40)),
)
def test_small_collections_of_any_kind_are_searched_exactly_where_that_is_said(
    connection: Connection,
    seed: int,
    numbers: list[int],
    constants: tuple[float, float],
    limits: tuple[int, int],
) -> None:
    texts = random_texts(seed, 30, WORDS[:10], 8)
    query = " ".join(WORDS[number] for number in numbers)
    (k1, b), (candidates, budget) = constants, limits
    with connection.transaction(force_rollback=True):
        generation = make_collection(connection, bm25_k1=k1, bm25_b=b)
        replace_chunks(connection, generation, [chunk(name, text) for name, text in texts.items()])
        found = hits(connection, query, candidates=candidates, posting_budget=budget)
        told = lexical_explained(connection)
    scores = bm25(texts, query, k1, b)
    if told["exact"]:
        assert_best(found, scores, candidates)
    for hit in found:
        assert hit.score == pytest.approx(scores[hit.document_id])
    assert [(-hit.score, hit.document_id) for hit in found] == sorted(
        (-hit.score, hit.document_id) for hit in found
    )


def test_a_budget_that_is_spent_is_told(common: Connection) -> None:
    found = hits(common, "word0 word1 word2", posting_budget=40, candidates=10)
    told = lexical_explained(common)
    assert (told["plan"], told["exact"], told["bounded"]) == ("rungs", False, True)
    assert 40 <= told["scored"] < 80
    assert len(found) == 10


def wanted_clauses(match: str, clauses: int) -> int:
    """Say what match means, in Python."""
    if match in {"any", "all"}:
        return clauses if match == "all" else 1
    number = int(match.rstrip("%"))
    wanted = clauses * number // 100 if "%" in match else number
    return max(1, min(wanted, clauses))


@pytest.mark.parametrize("match", ["any", "all", "1", "2", "3", "9", "0%", "50%", "75%", "99%"])
@pytest.mark.parametrize("budget", [20, 1_000_000])
@pytest.mark.parametrize("query", ["word0 word3 word5 word9", "word2 word2 nowhere word1", "word7"])
def test_enough_of_the_words_stand_in_every_match(
    common: Connection, match: str, budget: int, query: str
) -> None:
    words = set(query.split())
    enough = {
        name
        for name, text in TEXTS.items()
        if len(words & set(text.split())) >= wanted_clauses(match, len(words))
    }
    found = hits(common, query, match=match, posting_budget=budget, candidates=COUNT)
    names = {hit.document_id for hit in found}
    assert names <= enough
    if lexical_explained(common)["exact"]:
        assert names == enough
    if budget == 1_000_000:
        assert lexical_explained(common)["exact"]


#: What is said of a text's words by some queries.
HOLDS: dict[str, Callable[[list[str]], bool]] = {
    "word0": lambda words: "word0" in words,
    "word0 word1 word250": lambda words: not {"word0", "word1", "word250"}.isdisjoint(words),
    "word0 -word1": lambda words: "word0" in words and "word1" not in words,
    '"word0 word0"': lambda words: ("word0", "word0") in pairwise(words),
}


@pytest.mark.parametrize("budget", [20, BUDGET, 100_000])
@pytest.mark.parametrize("query", HOLDS)
def test_a_selective_filter_hides_nothing_that_matches(
    common: Connection, query: str, budget: int
) -> None:
    expected = {
        name
        for name, text in TEXTS.items()
        if NUMBERS[name] % 400 == 7 and HOLDS[query](text.split())
    }
    found = hits(common, query, filter="$.few == 7", posting_budget=budget, candidates=100)
    assert {hit.document_id for hit in found} == expected
    told = lexical_explained(common)
    assert told["exact"] is True
    assert told["plan"] in {"filtered", "complete"}


@pytest.mark.parametrize("filter_", ["$.tenth == 3", "$.number < 2000"])
def test_a_broad_filter_leaves_as_many_as_are_wanted(common: Connection, filter_: str) -> None:
    for query in ("word0", "word0 word1", "word0 word1 word299", "word0 -word1"):
        found = hits(common, query, filter=filter_, candidates=50)
        assert len(found) == 50
        numbers = [NUMBERS[hit.document_id] for hit in found]
        assert all(n % 10 == 3 if "tenth" in filter_ else n < 2000 for n in numbers)
        if "-word1" in query:
            assert not any("word1" in TEXTS[hit.document_id].split() for hit in found)


@pytest.mark.parametrize("heading_weight", [0.0, 0.5, 1.0, 3.0, 20.0])
def test_words_of_the_heading_count_as_often_as_is_said(
    connection: Connection, heading_weight: float
) -> None:
    texts = random_texts(1, 100, WORDS[:20], 20)
    headings = random_texts(2, 100, WORDS[:20], 3)
    generation = make_collection(connection)
    replace_chunks(
        connection, generation, [chunk(name, texts[name], heading=headings[name]) for name in texts]
    )
    for query in ("word0", "word0 word19 word7", "word3 word3 nowhere"):
        found = hits(
            connection,
            query,
            heading_weight=heading_weight,
            candidates=100,
            posting_budget=10_000,
        )
        expected = bm25(texts, query, headings=headings, heading_weight=heading_weight)
        assert {hit.document_id: hit.score for hit in found} == pytest.approx(expected, abs=1e-6)


quarters = st.lists(st.integers(1, 20).map(lambda number: number / 4), min_size=1, max_size=6)


@same_connection
@given(quarters, st.integers(0, 60).map(lambda number: number / 4 + 0.25))
def test_a_chunk_is_taken_if_and_only_if_it_promises_enough(
    connection: Connection, weights: list[float], threshold: float
) -> None:
    terms = [f"t{place}" for place in range(len(weights))]
    taken = connection.execute(
        """
        SELECT given.mask, EXISTS (
            SELECT FROM unnest(promise.branches) AS branch
            WHERE array_to_tsvector(given.present) @@ branch
        )
        FROM rankgres.lexical_promise_v1(%(terms)s::text []::tsquery [], %(weights)s, %(threshold)s)
            AS promise (branches)
        CROSS JOIN LATERAL (
            SELECT mask, ARRAY(
                SELECT term FROM unnest(%(terms)s::text []) WITH ORDINALITY AS one (term, place)
                WHERE mask >> (place - 1)::integer & 1 = 1
            ) AS present
            FROM generate_series(0, (1 << %(count)s::integer) - 1) AS mask
        ) AS given
        """,
        {"terms": terms, "weights": weights, "threshold": threshold, "count": len(terms)},
    ).fetchall()
    assert len(taken) == 1 << len(weights)
    assert dict(taken) == {
        mask: sum(weight for place, weight in enumerate(weights) if mask >> place & 1) >= threshold
        for mask, _ in taken
    }


@same_connection
@given(
    st.lists(st.tuples(st.floats(0.01, 12), st.integers(1, 100_000)), min_size=1, max_size=8),
    st.integers(100, 2000),
)
def test_rungs_descend_to_any_of_the_terms(
    connection: Connection, terms: list[tuple[float, int]], wanted: int
) -> None:
    weights = [weight for weight, _ in terms]
    rungs = connection.execute(
        "SELECT threshold, unseen, expected FROM rankgres.lexical_rungs_v1(%s, %s, 100000, %s)",
        [weights, [float(count) for _, count in terms], wanted],
    ).fetchall()
    thresholds, unseen, expected = ([rung[place] for rung in rungs] for place in range(3))
    assert thresholds == sorted(thresholds, reverse=True)
    assert expected == sorted(expected)
    assert all(below <= least for least, below in zip(thresholds, unseen, strict=True))
    assert thresholds[0] <= sum(weights) + 1e-9
    assert (thresholds[-1], unseen[-1]) == (pytest.approx(min(weights)), 0)
    promises = [
        sum(weight for place, weight in enumerate(weights) if mask >> place & 1)
        for mask in range(1, 1 << len(weights))
    ]
    for least, below in zip(thresholds, unseen, strict=True):
        outside = max((one for one in promises if one < least - 1e-9), default=0)
        assert below >= outside - 1e-9


def test_passages_are_a_documents_best_chunks(connection: Connection) -> None:
    generation = make_collection(connection)
    texts = ["cat dog", "cat cat", "dog dog", "cat dog dog dog"]
    replace_chunks(
        connection,
        generation,
        [chunk("long", text, position=place) for place, text in enumerate(texts)]
        + [chunk(f"other{number}", "dog bird fish") for number in range(20)],
    )
    found = lexical_hits(connection, "search_lexical_v2", generation, "cat", passages=2)
    assert [(hit.position, hit.rank, hit.passage) for hit in found] == [(1, 1, 1), (0, 1, 2)]


def test_settings_are_as_they_were_after_a_search(common: Connection) -> None:
    for seqscan, jit in (("on", "on"), ("off", "off")):
        common.execute(f"SET LOCAL enable_seqscan = {seqscan}".encode())
        common.execute(f"SET LOCAL jit = {jit}".encode())
        hits(common, "word0 word1")
        assert lexical_explained(common)["plan"] == "rungs"
        assert value(common, "SHOW enable_seqscan") == seqscan
        assert value(common, "SHOW jit") == jit
