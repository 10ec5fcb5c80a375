import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from service.model_cards import DEFAULT_RERANKER
from tests.http.conftest import DOCUMENTS

pytestmark = pytest.mark.usefixtures("library")

TEXTS = {document["id"]: document["text"] for document in DOCUMENTS}
AMPLE = {"candidates": 50, "budget_ms": 30_000}


def search(http: httpx.Client, query: str, **options: Any) -> Any:
    options = {"rerank": AMPLE if options.get("mode", "hybrid") == "hybrid" else False, **options}
    answer = http.post("/collections/library/search", json={"query": query, **options})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [result["id"] for result in answer["results"]]


def test_lexical_finds_words_and_nothing_else(http: httpx.Client) -> None:
    answer = search(http, "glaze", mode="lexical", explain=True)
    assert ids(answer) == ["kiln"]
    stages = answer["results"][0]["stages"]
    assert stages["lexical"]["rank"] == 1
    assert (stages["vector"], stages["rerank"]) == (None, None)
    assert answer["explain"]["query_embedding_cached"] is None
    assert answer["explain"]["candidates"]["vector"] is None


def test_vector_finds_meaning_without_a_common_word(http: httpx.Client) -> None:
    answer = search(http, "lunar gravity", mode="vector", explain=True)
    assert ids(answer)[0] == "tides"
    assert len(answer["results"]) == len(TEXTS)
    stages = answer["results"][0]["stages"]
    assert stages["vector"]["rank"] == 1
    assert (stages["lexical"], stages["rerank"]) == (None, None)
    assert answer["explain"]["candidates"]["vector"]["plan"] == "exact"


def test_hybrid_joins_both(http: httpx.Client) -> None:
    answer = search(http, "glaze", rerank=False, explain=True)
    first, *rest = answer["results"]
    assert first["id"] == "kiln"
    assert first["stages"]["lexical"]["rank"] == first["stages"]["vector"]["rank"] == 1
    assert [result["stages"]["fused"]["rank"] for result in answer["results"]] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    # BM25 did not list them, and scores them all the same: they have none of the words.
    assert all(result["stages"]["lexical"] == {"rank": None, "score": 0} for result in rest)
    assert answer["reranked"] is None
    assert answer["explain"]["model_ms"] >= 0
    assert answer["explain"]["sql_ms"] > 0


def test_reranking_scores_every_candidate_and_orders_by_the_sum(http: httpx.Client) -> None:
    answer = search(http, "how do I make bread rise")
    assert answer["degraded"] == []
    assert answer["reranked"] == {
        "state": "full",
        "scored": 6,
        "of": 6,
        "model": DEFAULT_RERANKER,
        "models": [{"model": DEFAULT_RERANKER, "scored": 6, "of": 6}],
    }
    results = answer["results"]
    assert results[0]["id"] == "sourdough"
    assert [result["rank"] for result in results] == [1, 2, 3, 4, 5, 6]
    assert sorted(result["stages"]["rerank"]["rank"] for result in results) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)


def test_a_reranker_is_not_asked_for_what_the_question_excludes(http: httpx.Client) -> None:
    def scores(query: str) -> dict[str, float]:
        results = search(http, query)["results"]
        return {result["id"]: result["stages"]["rerank"]["score"] for result in results}

    asked = scores("how do I make bread rise, but not ice on a glacier")
    assert asked == scores("how do I make bread rise,")
    assert asked != scores("how do I make bread rise, and ice on a glacier")


def test_only_hybrid_is_reranked_unless_asked(http: httpx.Client) -> None:
    for mode, reranked in (("hybrid", True), ("vector", False), ("lexical", False)):
        body = {"query": "ice", "mode": mode}
        answer = http.post("/collections/library/search", json=body).json()
        assert (answer["reranked"] is not None) == reranked
    assert search(http, "ice", mode="lexical", rerank=AMPLE)["reranked"]["scored"] == 1


def test_fewer_candidates_are_reranked_and_the_rest_follows_in_fused_order(
    http: httpx.Client,
) -> None:
    answer = search(http, "ice", rerank={"candidates": 2, "budget_ms": 30_000})
    assert (answer["reranked"]["scored"], answer["reranked"]["of"]) == (2, 2)
    scored = [result["stages"]["rerank"] is not None for result in answer["results"]]
    assert scored == [True, True, False, False, False, False]
    fused = [result["stages"]["fused"]["rank"] for result in answer["results"]]
    assert fused[2:] == [3, 4, 5, 6]


def test_weight_decides_between_the_stages(http: httpx.Client) -> None:
    lexical = search(http, "ice water", mode="lexical")
    leaning = search(http, "ice water", rerank=False, lexical_weight=1)
    # The last of a stage is scaled to 0, which is what the documents without it have.
    assert ids(leaning)[: len(ids(lexical)) - 1] == ids(lexical)[:-1]
    vector = search(http, "ice water", mode="vector")
    assert ids(search(http, "ice water", rerank=False, lexical_weight=0)) == ids(vector)


def test_reciprocal_rank_fusion_sums_shares_of_ranks(http: httpx.Client) -> None:
    best = search(http, "glaze", rerank=False, fusion="rrf")["results"][0]
    assert best["stages"]["fused"]["score"] == pytest.approx(0.5 / 61 + 0.5 / 61)


def test_k_bounds_the_documents(http: httpx.Client) -> None:
    assert len(search(http, "ice", k=2, rerank=False)["results"]) == 2


def test_a_query_of_stop_words_has_no_lexical_result(http: httpx.Client) -> None:
    assert search(http, "the of and", mode="lexical")["results"] == []


def test_a_long_document_appears_once_with_its_best_passages(http: httpx.Client) -> None:
    answer = search(http, "kiln temperature glaze", passages=3)
    assert ids(answer).count("kiln") == 1
    kiln = next(result for result in answer["results"] if result["id"] == "kiln")
    assert len(kiln["passages"]) == 3
    assert len({passage["start"] for passage in kiln["passages"]}) == 3
    one = search(http, "kiln temperature glaze", passages=1)
    assert all(len(result["passages"]) == 1 for result in one["results"])


def test_offsets_cut_the_passage_out_of_the_document(http: httpx.Client) -> None:
    answer = search(http, "temperature", passages=10)
    seen = 0
    for result in answer["results"]:
        for passage in result["passages"]:
            assert TEXTS[result["id"]][passage["start"] : passage["end"]] == passage["text"]
            seen += 1
    assert seen > len(TEXTS)


def test_positions_count_the_passages_of_a_document_from_0(http: httpx.Client) -> None:
    answer = search(http, "temperature", passages=10)
    for result in answer["results"]:
        placed = sorted(result["passages"], key=lambda passage: int(passage["start"]))
        assert [passage["position"] for passage in placed] == list(range(len(placed)))


def test_a_passage_tells_its_heading_path(http: httpx.Client) -> None:
    answer = search(http, "bubbles in the molten glaze", mode="lexical", passages=1)
    assert answer["results"][0]["passages"][0]["heading"] == "Kiln manual > Firing > Glaze"


def test_words_of_the_query_are_marked_in_the_snippet(http: httpx.Client) -> None:
    passage = search(http, "ferments", mode="lexical")["results"][0]["passages"][0]
    assert "<mark>ferment</mark>" in passage["snippet"]


def test_a_snippet_holds_no_markup_but_the_marks(http: httpx.Client) -> None:
    passage = search(http, "unescaped script", mode="lexical")["results"][0]["passages"][0]
    assert "<script>" in passage["text"]
    snippet = passage["snippet"]
    assert set(re.findall(r"<[^>]*>", snippet)) == {"<mark>", "</mark>"}
    assert "&lt;<mark>script</mark>&gt;" in snippet
    assert "tea &amp; milk" in snippet


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"topic": "music"}, {"violin"}),
        ({"topic": {"in": ["music", "nature"]}}, {"violin", "tides", "glacier"}),
        ({"topic": {"ne": "craft"}}, {"violin", "tides", "glacier"}),
        ({"year": {"gte": 2020, "lt": 2022}}, {"glacier", "sourdough"}),
        ({"draft": {"exists": True}}, {"script"}),
        ({"draft": {"exists": False}, "topic": "craft"}, {"sourdough", "kiln"}),
        ({"tags": "clay"}, {"kiln"}),
        ({"or": [{"topic": "music"}, {"year": {"gt": 2022}}]}, {"violin", "script"}),
        ({"not": {"topic": {"in": ["craft", "nature"]}}}, {"violin"}),
        ({"topic": "no such"}, set()),
        ({}, set(TEXTS)),
    ],
    ids=str,
)
def test_a_filter_leaves_exactly_the_documents_it_describes(
    http: httpx.Client, condition: dict[str, Any], expected: set[str]
) -> None:
    answer = search(http, "water", mode="vector", filter=condition)
    assert set(ids(answer)) == expected
    hybrid = search(http, "water", rerank=False, filter=condition)
    assert set(ids(hybrid)) == expected


def test_metadata_comes_with_the_results(http: httpx.Client) -> None:
    best = search(http, "glaze", mode="lexical")["results"][0]
    assert best["metadata"] == {"topic": "craft", "year": 2022, "tags": ["clay", "heat"]}


def test_the_header_tells_the_time_of_every_stage(http: httpx.Client) -> None:
    answer = http.post(
        "/collections/library/search", json={"query": "ice", "rerank": AMPLE, "explain": True}
    )
    told = dict(re.findall(r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"]))
    timings = answer.json()["timings"]
    stages = ["plan", "embed", "candidates", "rerank", "present"]
    assert list(timings) == [*stages[:4], "feedback", "present", "total"]
    assert {name: float(value) for name, value in told.items()} == {
        name: pytest.approx(value, abs=0.06) for name, value in timings.items()
    }
    assert sum(timings[stage] for stage in stages) <= timings["total"] + 0.01
    assert timings["feedback"] <= timings["rerank"] + 0.01


def counted(http: httpx.Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def test_searches_and_reranked_candidates_are_counted(http: httpx.Client) -> None:
    searches = 'rankgres_search_stage_seconds_count{stage="total"}'
    scored = 'rankgres_rerank_candidates_total{outcome="scored"}'
    before = counted(http, searches), counted(http, scored)
    search(http, "ice")
    search(http, "ice", mode="lexical")
    assert (counted(http, searches), counted(http, scored)) == (before[0] + 2, before[1] + 6)


def test_a_budget_too_small_degrades_is_named_and_counted(http: httpx.Client) -> None:
    name = 'rankgres_search_degraded_total{reason="timeout",stage="rerank"}'
    before = counted(http, name)
    answer = search(http, "ice", rerank={"candidates": 6, "budget_ms": 1})
    assert answer["degraded"] == [{"stage": "rerank", "reason": "timeout", "retry_after_ms": None}]
    assert answer["reranked"]["scored"] < 6
    assert counted(http, name) == before + 1
    assert len(answer["results"]) == 6


def test_a_query_longer_than_the_model_reads_is_answered_and_says_so(http: httpx.Client) -> None:
    answer = search(http, "glaze " * 400, rerank=False)
    assert [each["reason"] for each in answer["degraded"]] == ["query_truncated"]
    assert ids(answer)[0] == "kiln"


def test_sixteen_callers_at_once_get_what_one_alone_gets(http: httpx.Client) -> None:
    words = ["ice", "glaze", "starter dough", "moon", "peg", "boiling water", "unescaped page"]
    queries = [
        {"query": f"{word} {other}", "k": 4, "rerank": AMPLE | {"candidates": 4}}
        for word in words
        for other in ("", "slowly", "every day")
    ][:20]

    def ask(body: dict[str, Any]) -> Any:
        answer = http.post("/collections/library/search", json=body).json()
        for result in answer["results"]:
            for passage in result["passages"]:
                # Sentences are compared for as long as a budget lasts, which they share here.
                if passage["snippet_source"] != "words":
                    del passage["snippet"], passage["snippet_source"]
        return answer["results"], answer["degraded"], answer["reranked"]

    alone = [ask(body) for body in queries]
    assert all(degraded == [] for _, degraded, _ in alone)
    with ThreadPoolExecutor(16) as threads:
        together = list(threads.map(lambda _: [ask(body) for body in queries], range(16)))
    for answers in together:
        assert answers == alone
