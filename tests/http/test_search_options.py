"""Every option of a search changes what its description says, over HTTP."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.collections.profile import SearchProfile, write_profile
from service.db.connection import connect
from service.model_cards import DEFAULT_RERANKER, reranker_card
from tests.support.stack import RealStack
from tests.support.waiting import eventually

AMPLE = {"candidates": 50, "budget_ms": 30_000}
HARBOUR = "The harbour was closed because of a storm from the north."
#: Three that say the same, and three that do not.
DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "storm-1",
        "title": "Storm",
        "text": HARBOUR,
        "metadata": {"day": "2020-01-01", "stars": 1, "tags": ["sea", "wind"]},
    },
    {
        "id": "storm-2",
        "title": "Storm",
        "text": HARBOUR,
        "metadata": {"day": "2024-01-01", "stars": 5, "tags": ["sea"]},
    },
    {
        "id": "storm-3",
        "title": "Storm",
        "text": HARBOUR,
        "metadata": {"day": "2022-01-01", "stars": 1000, "tags": ["sea"]},
    },
    {
        "id": "ferry",
        "title": "Ferry",
        "text": "A new ferry leaves the harbour every hour. Tickets can be bought on board.",
        "metadata": {"day": "2021-01-01", "stars": 3, "tags": ["sea", "travel"]},
    },
    {
        "id": "market",
        "title": "Market",
        "text": "Fishmongers at the harbour market sell what the boats brought in at night.",
        "metadata": {"day": "2023-01-01", "stars": 4, "tags": []},
    },
    {
        "id": "train",
        "title": "Train",
        "text": "Two carriages were added to the night train. It stops at every village.",
        "metadata": {"day": "2023-06-01", "stars": 2},
    },
]


@pytest.fixture(scope="module")
def news(http: httpx.Client) -> Iterator[str]:
    """A collection of six documents, of which three have the same text."""
    assert http.post("/collections", json={"name": "news"}).status_code == 201
    written = http.post("/collections/news/documents", json={"documents": DOCUMENTS, "wait": True})
    assert written.json()["waiting"] == 0, written.text
    yield "news"
    http.delete("/collections/news")


@pytest.fixture
def profiled(news: str, stack: RealStack) -> Iterator[None]:
    """The news, searched by a profile of its own."""
    with connect(stack.record.database_url) as connection:
        write_profile(connection, news, SearchProfile(match="all", diversity=1.0))
    yield
    with connect(stack.record.database_url) as connection:
        write_profile(connection, news, SearchProfile())


def ask(http: httpx.Client, collection: str, **body: Any) -> httpx.Response:
    return http.post(f"/collections/{collection}/search", json={"rerank": False, **body})


def search(http: httpx.Client, query: str, **options: Any) -> Any:
    answer = ask(http, "news", query=query, **options)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [result["id"] for result in answer["results"]]


def scores(answer: Any) -> dict[str, float]:
    return {result["id"]: result["score"] for result in answer["results"]}


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("any", {"storm-1", "storm-2", "storm-3", "ferry", "market", "train"}),
        ("2", {"ferry", "market"}),
        ("50%", {"ferry", "market"}),
        ("3", {"market"}),
        ("75%", {"market"}),
        ("all", set()),
    ],
)
def test_match_demands_words(http: httpx.Client, match: str, found: set[str]) -> None:
    answer = search(http, "new harbour boats night", mode="lexical", match=match)
    assert set(ids(answer)) == found


@pytest.mark.usefixtures("news")
def test_a_phrase_has_to_be_there_in_both_stages(http: httpx.Client) -> None:
    assert ids(search(http, '"harbour market"')) == ["market"]
    assert ids(search(http, '"night train"', mode="vector")) == ["train"]


@pytest.mark.usefixtures("news")
def test_a_phrase_that_nothing_has_is_answered_by_its_words_and_said(http: httpx.Client) -> None:
    answer = search(http, '"market harbour"')
    assert answer["relaxed"] is True
    assert ids(answer)[0] == "market"
    assert search(http, '"harbour market"')["relaxed"] is False


@pytest.mark.usefixtures("news")
def test_what_is_excluded_is_found_by_neither_stage(http: httpx.Client) -> None:
    assert set(ids(search(http, "harbour -storm"))) == {"ferry", "market", "train"}
    assert set(ids(search(http, "harbour -storm", mode="lexical"))) == {"ferry", "market"}
    # Nor do the models read it, which would draw near what resembles it.
    without, plain = (
        {
            result["id"]: result["stages"]["vector"]["score"]
            for result in search(http, query, mode="vector")["results"]
        }
        for query in ("harbour -storm", "harbour ")
    )
    assert without == {name: plain[name] for name in ("ferry", "market", "train")}


@pytest.mark.usefixtures("news")
def test_a_misspelled_word_is_corrected_where_that_is_asked(http: httpx.Client) -> None:
    plain = search(http, "harbuor tickets", mode="lexical", match="all")
    assert (ids(plain), plain["corrections"]) == ([], {})
    mended = search(http, "harbuor tickets", mode="lexical", match="all", correct=True)
    assert mended["corrections"] == {"harbuor": "harbour"}
    assert ids(mended) == ["ferry"]
    passage = mended["results"][0]["passages"][0]
    assert "<mark>harbour</mark>" in passage["snippet"]
    counted = search(http, "harbuor", correct=True, facets=["stars"])["facets"]["stars"]
    assert {count["value"] for count in counted} == {1, 5, 1000, 3, 4}


@pytest.mark.usefixtures("news")
def test_words_of_the_heading_count_as_much_as_they_are_given(http: httpx.Client) -> None:
    def told(weight: float) -> float:
        (train,) = search(http, "train", mode="lexical", heading_weight=weight)["results"]
        return float(train["stages"]["lexical"]["score"])

    assert 0 < told(0) < told(1) < told(4)


@pytest.mark.usefixtures("news")
def test_every_fusion_scores_in_its_own_way(http: httpx.Client) -> None:
    query = "new harbour boats night"
    methods = ["theoretical", "convex", "relative_score", "zscore", "distribution", "rrf"]
    told = {method: scores(search(http, query, fusion=method)) for method in methods}
    assert search(http, query, explain=True)["explain"]["candidates"]["fusion"] == "theoretical"
    assert scores(search(http, query)) == told["theoretical"]
    # Relative score fusion is the convex combination under the name it has elsewhere.
    assert len({tuple(sorted(found.items())) for found in told.values()}) >= 5
    best = search(http, query, fusion="rrf", rrf_k=4)["results"][0]
    assert best["score"] == pytest.approx(
        sum(0.5 / (4 + best["stages"][stage]["rank"]) for stage in ("lexical", "vector"))
    )


@pytest.mark.usefixtures("news")
def test_a_stage_that_did_not_list_a_document_may_score_it(http: httpx.Client) -> None:
    (train,) = (result for result in search(http, "harbour")["results"] if result["id"] == "train")
    assert train["stages"]["lexical"] == {"rank": None, "score": 0}
    assert train["stages"]["vector"]["rank"] is not None


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize(
    ("mode", "option"),
    [
        ("lexical", "min_lexical_score"),
        ("vector", "min_vector_score"),
        ("lexical", "min_score"),
        ("vector", "min_score"),
        ("hybrid", "min_score"),
    ],
)
def test_a_least_score_keeps_what_reaches_it(http: httpx.Client, mode: str, option: str) -> None:
    everything = search(http, "harbour market at night", mode=mode)
    third = everything["results"][2]
    stage = {"min_lexical_score": "lexical", "min_vector_score": "vector"}.get(option, "fused")
    least = third["stages"][stage]["score"]
    kept = search(http, "harbour market at night", mode=mode, **{option: least})
    expected = [
        result["id"]
        for result in everything["results"]
        if result["stages"][stage] and result["stages"][stage]["score"] >= least
    ]
    assert ids(kept) == expected
    assert len(expected) < len(ids(everything))


@pytest.mark.usefixtures("news")
def test_autocut_ends_the_list_where_the_score_falls(http: httpx.Client) -> None:
    assert len(ids(search(http, "ferry tickets", autocut=0))) == 6
    assert ids(search(http, "ferry tickets", autocut=1)) == ["ferry"]


@pytest.mark.usefixtures("news")
def test_recency_and_boosts_decide_among_equals(http: httpx.Client) -> None:
    equal = ["storm-1", "storm-2", "storm-3"]
    assert ids(search(http, "storm north", k=3)) == equal
    recent = search(
        http, "storm north", k=3, recency={"field": "day", "scale": "365 days", "weight": 1}
    )
    assert ids(recent) == ["storm-2", "storm-3", "storm-1"]
    starred = search(http, "storm north", k=3, boosts=[{"field": "stars", "weight": 0.5}])
    assert ids(starred) == ["storm-3", "storm-2", "storm-1"]


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize("rerank", [False, AMPLE], ids=["fused", "reranked"])
def test_diversity_puts_repetitions_back(http: httpx.Client, rerank: Any) -> None:
    alike = {"storm-1", "storm-2", "storm-3"}
    plain = search(http, "storm in the harbour", rerank=rerank, explain=True)
    assert set(ids(plain)[:3]) == alike
    assert "diversify" not in plain["timings"]
    diverse = search(http, "storm in the harbour", rerank=rerank, diversity=0.9)
    assert len(set(ids(diverse)[:3]) & alike) == 1
    assert ids(diverse)[0] == ids(plain)[0]
    assert set(ids(diverse)) == set(ids(plain))
    assert [result["rank"] for result in diverse["results"]] == [1, 2, 3, 4, 5, 6]
    # After reranking, or that would undo it.
    assert ("diversify" in diverse["timings"]) == bool(rerank)


@pytest.mark.usefixtures("news")
def test_likeness_to_the_best_counts_as_much_as_asked(http: httpx.Client) -> None:
    def asked(query: str, **rerank: float) -> Any:
        return search(http, query, rerank=AMPLE | rerank, explain=True)

    answer = asked("storm in the harbour")
    assert answer["explain"]["rerank"]["feedback"] == reranker_card(DEFAULT_RERANKER).feedback
    assert answer["timings"]["feedback"] < answer["timings"]["rerank"]
    plain = asked("storm in the harbour", feedback=0)
    assert plain["explain"]["rerank"]["feedback"] == 0
    assert "feedback" not in plain["timings"]
    # Copies are alike, whatever else counts, and nothing else is as near to them.
    alike = {"storm-1", "storm-2", "storm-3"}
    found = scores(asked("storm in the harbour", feedback=1000))
    copies = [score for name, score in found.items() if name in alike]
    others = [score for name, score in found.items() if name not in alike]
    assert min(copies) - max(others) > 10 * (max(copies) - min(copies))


@pytest.mark.usefixtures("news")
def test_where_a_question_excludes_something_likeness_does_not_count(http: httpx.Client) -> None:
    query = "What is there in the harbour, but not the storm?"
    answer = search(http, query, rerank=AMPLE, explain=True)
    assert answer["explain"]["rerank"]["feedback"] == 0


@pytest.mark.usefixtures("profiled")
def test_what_a_search_leaves_out_is_taken_from_the_profile(http: httpx.Client) -> None:
    alike = {"storm-1", "storm-2", "storm-3"}
    assert ids(search(http, "harbour ferry tickets", mode="lexical")) == ["ferry"]
    assert len(ids(search(http, "harbour ferry tickets", mode="lexical", match="any"))) == 5
    for rerank in (False, AMPLE):
        assert len(set(ids(search(http, "storm harbour", rerank=rerank))[:3]) & alike) == 1
        plain = search(http, "storm harbour", rerank=rerank, diversity=0)
        assert set(ids(plain)[:3]) == alike


@pytest.mark.usefixtures("news")
def test_a_search_that_found_all_there_is_says_so(http: httpx.Client) -> None:
    answer = search(http, "harbour", deadline_ms=60_000)
    assert (answer["complete"], answer["incomplete_reason"]) == (True, None)


@pytest.mark.usefixtures("news")
def test_facets_count_the_documents_that_match(http: httpx.Client) -> None:
    answer = search(http, "harbour", mode="lexical", k=1, facets=["tags", "stars"])
    assert list(answer["facets"]) == ["tags", "stars"]
    assert answer["facets"]["tags"] == [
        {"value": "sea", "documents": 4, "exact": True},
        {"value": "travel", "documents": 1, "exact": True},
        {"value": "wind", "documents": 1, "exact": True},
    ]
    filtered = search(http, "harbour", facets=["tags"], filter={"stars": {"gt": 4}})
    assert filtered["facets"]["tags"] == [{"value": "sea", "documents": 2, "exact": True}]
    everything = search(http, "harbour", mode="vector", facets=["stars"])
    assert len(everything["facets"]["stars"]) == 6
    assert search(http, "harbour")["facets"] is None


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize("name", ["filter", "facets"])
def test_an_unknown_field_is_an_error_that_lists_the_known_ones(
    http: httpx.Client, name: str
) -> None:
    value: Any = {"filter": {"star": 3}, "facets": ["star"]}[name]
    problem = ask(http, "news", query="harbour", **{name: value})
    assert problem.status_code == 422
    told = problem.json()
    assert told["field"] == name
    assert '"star"' in told["detail"]
    for known in ("day", "stars", "tags"):
        assert known in told["mend"]


@pytest.mark.usefixtures("news")
def test_snippets_say_what_chose_them(http: httpx.Client) -> None:
    def first(query: str, **options: Any) -> Any:
        answer = search(http, query, explain=True, **options)
        return answer["results"][0]["passages"][0], answer["explain"]["snippets"]

    def by_meaning() -> Any:
        passage, _ = first("railway wagons", mode="vector")
        return passage if passage["snippet_source"] == "meaning" else None

    passage, told = first("tickets", mode="lexical")
    assert passage["snippet_source"] == "words"
    assert "<mark>Tickets</mark>" in passage["snippet"]
    assert told["words"] == 1
    # Asked again where a busy machine has not compared the sentences within their budget.
    passage = eventually(by_meaning, "a sentence is chosen by its meaning")
    assert passage["snippet"] == (
        "<mark>Two carriages were added to the night train.</mark> It stops at every village."
    )
    # Of one sentence there is nothing to choose.
    passage, told = first("bad weather at sea", mode="vector")
    assert passage["snippet_source"] == "beginning"
    assert passage["snippet"] == HARBOUR


@pytest.mark.usefixtures("news")
@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"fusion": "sum"}, "fusion", "theoretical"),
        ({"match": "most"}, "match", "pattern"),
        ({"match": "101%"}, "match", "pattern"),
        ({"diversity": 1.5}, "diversity", "1"),
        ({"ef_search": 1001}, "ef_search", "1000"),
        ({"facets": ["a"] * 21}, "facets", "20"),
        ({"boosts": {"field": "stars"}}, "boosts", "list"),
        ({"boosts": [{"field": "stars", "shape": "cubic"}]}, "boosts", "cubic"),
        ({"recency": {"field": "day"}}, "recency", "scale"),
        ({"recency": {"field": "day", "scale": "\0"}}, "recency.scale", "NUL"),
    ],
    ids=str,
)
def test_an_option_that_cannot_be_used_is_named(
    http: httpx.Client, body: dict[str, Any], field: str, says: str
) -> None:
    problem = ask(http, "news", query="harbour", **body)
    assert problem.status_code == 422, problem.text
    told = problem.json()
    assert told["field"] == field
    assert says in told["detail"]
    assert told["mend"]


@pytest.fixture(scope="module")
def two_languages(http: httpx.Client) -> Iterator[str]:
    """An English and a Spanish document in one collection."""
    http.post("/collections", json={"name": "two", "text_search_config": "auto"})
    documents = [
        {"id": "en", "text": "The name of a song", "metadata": {"language": "en"}},
        {"id": "es", "text": "Las casas viejas del puerto", "metadata": {"language": "es"}},
    ]
    http.post("/collections/two/documents", json={"documents": documents, "wait": True})
    yield "two"
    http.delete("/collections/two")


def test_a_query_is_read_in_its_language(http: httpx.Client, two_languages: str) -> None:
    def found(**options: Any) -> Any:
        return ask(http, two_languages, query="casa", mode="lexical", **options).json()

    assert ids(found(language="spanish")) == ["es"]
    assert ids(found(language="english")) == []
    assert "<mark>" in found(language="spanish")["results"][0]["passages"][0]["snippet"]
    refused = ask(http, two_languages, query="casa", language="klingon")
    assert refused.status_code == 422
    assert refused.json()["field"] == "language"
