"""Remote models: what is sent, what is waited for, and what is told when it goes wrong."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidInputError, ModelUnavailableError
from service.model_cards import EncoderCard, reranker_card
from service.settings import Settings
from tests.support.model_endpoint import ModelEndpoint, Refusal, documents_shape, texts_shape
from workers.inference.backend import DeadlineExceededError, ModelBusyError
from workers.inference.encoder import open_encoder
from workers.inference.remote_encoder import RemoteEncoder
from workers.inference.remote_endpoint import InputRefusedError
from workers.inference.remote_reranker import RemoteReranker
from workers.inference.reranker import load_reranker

KEY = "sk-very-secret"
SMALL = EncoderCard("openai:small", 4, 16, kind="remote", query_prompt="q: ")


def lengths(_query: str, passages: Sequence[str]) -> list[float]:
    """Score by a real rule: the longer, the better."""
    return [float(len(passage)) for passage in passages]


def embeddings(body: Any) -> Any:
    """Embed by a real rule: how many of four letters a text has; the answer's order is another."""
    rows = [[float(text.count(letter)) for letter in "aeio"] for text in body["input"]]
    found = [{"index": index, "embedding": row} for index, row in enumerate(rows)]
    return {"data": found[::-1], "usage": {"prompt_tokens": 1}}


def reranker(endpoint: ModelEndpoint, name: str = "cohere:rerank") -> RemoteReranker:
    settings = Settings.model_validate({"rerank_url": endpoint.url, "rerank_api_key": KEY})
    loaded = load_reranker(name, settings)
    assert isinstance(loaded, RemoteReranker)
    endpoint.callers.callback(loaded.close)
    return loaded


def encoder(endpoint: ModelEndpoint, card: EncoderCard = SMALL) -> RemoteEncoder:
    settings = Settings.model_validate({"embedding_url": endpoint.url, "embedding_api_key": KEY})
    loaded = open_encoder(card, settings)
    assert isinstance(loaded, RemoteEncoder)
    endpoint.callers.callback(loaded.close)
    return loaded


def busy(seconds: float) -> Refusal:
    return Refusal(429, {"Retry-After": f"{seconds:g}"})


def test_a_cohere_endpoint_is_asked_for_all_documents_in_one_request() -> None:
    with ModelEndpoint(documents_shape(lengths)) as endpoint:
        assert reranker(endpoint).score("q", ["a", "abc", "ab"], None).scores == [1, 3, 2]
    assert endpoint.bodies == [{"model": "rerank", "query": "q", "documents": ["a", "abc", "ab"]}]
    assert endpoint.keys == [f"Bearer {KEY}"]


def test_a_tei_endpoint_is_asked_for_raw_scores_32_at_a_time_over_one_connection() -> None:
    with ModelEndpoint(texts_shape(lengths)) as endpoint:
        passages = ["x" * length for length in range(1, 71)]
        scores = reranker(endpoint, "tei:any").score("q", passages, None).scores
    assert scores == list(range(1, 71))
    assert [len(body["texts"]) for body in endpoint.bodies] == [32, 32, 6]
    assert all(body["raw_scores"] and "model" not in body for body in endpoint.bodies)
    assert len(endpoint.connections) == 1


def test_a_busy_endpoint_is_waited_for_where_the_deadline_allows() -> None:
    with ModelEndpoint(documents_shape(lengths), [busy(0.1), busy(0.05)]) as endpoint:
        scoring = reranker(endpoint).score("q", ["a", "ab"], time.monotonic() + 60)
    assert scoring.scores == [1, 2]
    assert len(endpoint.bodies) == 3


def test_an_endpoint_busy_beyond_the_deadline_says_when_to_ask_again() -> None:
    with ModelEndpoint(documents_shape(lengths), [busy(17)]) as endpoint:
        model = reranker(endpoint)
        with pytest.raises(ModelBusyError) as caught:
            model.score("q", ["a"], time.monotonic() + 5)
        assert caught.value.seconds == 17
        assert model.load().refused == 1


def test_what_was_scored_before_the_endpoint_was_busy_is_kept() -> None:
    with ModelEndpoint(texts_shape(lengths)) as endpoint:
        model = reranker(endpoint, "tei:any")
        answer = endpoint.answer

        def answer_once(body: Any) -> Any:
            endpoint.refusals.append(busy(1000))
            return answer(body)

        endpoint.answer = answer_once
        scores = model.score("q", ["abc"] * 40, time.monotonic() + 60).scores
    assert scores == [3] * 32 + [None] * 8


@pytest.mark.parametrize(
    ("refusal", "least", "most"),
    [
        (busy(7), 7, 7),
        (Refusal(503, {"Retry-After": "2.5"}), 2.5, 2.5),
        (
            # Days, because tests are collected long before they run.
            Refusal(429, {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(days=9))}),
            8 * 86_400,
            9 * 86_400,
        ),
        (Refusal(429, {"Retry-After": format_datetime(datetime(2020, 1, 1, tzinfo=UTC))}), 0, 0),
        (Refusal(503), 1, 1),
        (Refusal(429, {"Retry-After": "soon"}), 1, 1),
    ],
)
def test_the_time_to_wait_is_read_in_every_form(
    refusal: Refusal, least: float, most: float
) -> None:
    with ModelEndpoint(embeddings, [refusal]) as endpoint, pytest.raises(ModelBusyError) as caught:
        encoder(endpoint).encode(["a"], "query")
    assert least <= caught.value.seconds <= most


def test_an_endpoint_that_stays_busy_is_asked_ever_more_rarely() -> None:
    waits = []
    with ModelEndpoint(embeddings, [Refusal(429)] * 3) as endpoint:
        model = encoder(endpoint)
        for _ in range(3):
            with pytest.raises(ModelBusyError) as caught:
                model.encode(["a"], "query")
            waits.append(caught.value.seconds)
        model.encode(["a"], "query")
        endpoint.refusals.append(Refusal(429))
        with pytest.raises(ModelBusyError) as caught:
            model.encode(["a"], "query")
    assert [*waits, caught.value.seconds] == [1, 2, 4, 1]


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InputRefusedError),
        (413, InputRefusedError),
        (401, ModelUnavailableError),
        (404, ModelUnavailableError),
        (500, ModelUnavailableError),
    ],
)
def test_other_refusals_say_what_the_endpoint_said_and_never_the_key(
    status: int, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    refusal = Refusal(status, text=f"the key {KEY} or the model is wrong" + "!" * 5000)
    with (
        caplog.at_level(logging.DEBUG, "httpx"),
        ModelEndpoint(documents_shape(lengths), [refusal]) as endpoint,
        pytest.raises(error, match=f"{status}: the key .* or the model is wrong") as caught,
    ):
        reranker(endpoint).score("q", ["a"], None)
    assert KEY not in str(caught.value) + caplog.text
    assert len(str(caught.value)) < 800


def test_a_refused_key_names_the_setting() -> None:
    with (
        ModelEndpoint(documents_shape(lengths), [Refusal(401)]) as endpoint,
        pytest.raises(ModelUnavailableError, match="RANKGRES_RERANK_API_KEY"),
    ):
        reranker(endpoint).score("q", ["a"], None)


def test_an_endpoint_that_is_away_is_named() -> None:
    with ModelEndpoint(documents_shape(lengths)) as endpoint:
        url = endpoint.url
    model = load_reranker("cohere:rerank", Settings(rerank_url=url))
    with pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1 cannot be reached"):
        model.score("q", ["a"], time.monotonic() + 60)
    model.close()


def test_a_deadline_ends_the_wait_for_an_answer() -> None:
    def slow(body: Any) -> Any:
        time.sleep(0.5)
        return documents_shape(lengths)(body)

    with ModelEndpoint(slow) as endpoint:
        assert reranker(endpoint).score("q", ["a"], time.monotonic() + 0.1).scores == [None]
        with pytest.raises(DeadlineExceededError):
            encoder(endpoint).encode(["a"], "query", time.monotonic() + 0.1)


@pytest.mark.parametrize(
    "answer",
    [
        {"results": [{"index": 0, "relevance_score": 1}]},
        {"results": [{"index": 0, "relevance_score": 1}, {"index": 7, "relevance_score": 1}]},
        {"results": [{"index": 0}, {"index": 1}]},
        {"results": [{"index": i, "relevance_score": float("nan")} for i in (0, 1)]},
        {"results": None},
        [{"index": 0, "score": 1}, {"index": 1, "score": 1}],
        "none",
    ],
)
def test_an_answer_of_another_form_is_refused(answer: Any) -> None:
    with (
        ModelEndpoint(lambda _: answer) as endpoint,
        pytest.raises(ModelUnavailableError, match=r"127\.0\.0\.1 answers with"),
    ):
        reranker(endpoint).score("q", ["a", "b"], None)


def test_where_a_remote_model_is_must_be_said() -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_reranker("jina:any", Settings())
    assert caught.value.field == "RANKGRES_RERANK_URL"


@pytest.mark.parametrize(
    "url", ["no url", "ftp://host/x", "http://", "http://host:port", "http://a\x00b"]
)
def test_an_address_that_is_none_is_refused_before_it_is_asked(url: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot be used"):
        load_reranker("jina:any", Settings(rerank_url=url))


def test_embeddings_come_in_the_order_of_the_texts_behind_their_prompts() -> None:
    with ModelEndpoint(embeddings) as endpoint:
        model = encoder(endpoint)
        query = model.encode(["aae", "", "ioio"], "query")
        document = model.encode(["aae"], "document")
    assert endpoint.bodies[0]["input"] == ["q: aae", "q: ", "q: ioio"]
    assert endpoint.bodies[0]["model"] == "small"
    assert endpoint.bodies[1]["input"] == ["aae"]
    expected = np.array([2, 1, 0, 0]) / np.sqrt(5)
    np.testing.assert_allclose(query.embeddings[0], expected, atol=1e-6)
    np.testing.assert_allclose(document.embeddings[0], expected, atol=1e-6)
    np.testing.assert_allclose(query.embeddings[1], 0)
    assert (query.truncated, len(query.token_counts)) == ([False] * 3, 3)


def test_many_texts_are_many_requests_and_none_is_no_request() -> None:
    with ModelEndpoint(embeddings) as endpoint:
        model = encoder(endpoint)
        texts = ["a" * (number % 5) + "e" for number in range(150)]
        found = model.encode(texts, "document").embeddings
        assert model.encode([], "document").embeddings.shape == (0, 4)
    assert [len(body["input"]) for body in endpoint.bodies] == [64, 64, 22]
    alone = np.array([[text.count("a"), text.count("e"), 0, 0] for text in texts], dtype=float)
    np.testing.assert_allclose(found, alone / np.linalg.norm(alone, axis=1)[:, None], atol=1e-6)


def test_what_a_remote_encoder_does_not_read_is_told() -> None:
    words = "one two three four five six seven eight nine ten " * 3
    with ModelEndpoint(embeddings) as endpoint:
        encoding = encoder(endpoint).encode(["short", words], "document")
    assert encoding.truncated == [False, True]
    assert encoding.token_counts == [3, 32]
    sent = endpoint.bodies[0]["input"][1]
    assert words.startswith(sent)
    assert len(sent.split()) == 14  # of 16 tokens, two are the tokenizer's own


def test_embeddings_of_another_dimension_are_refused() -> None:
    card = EncoderCard("openai:small", 5, 16, kind="remote")
    with (
        ModelEndpoint(embeddings) as endpoint,
        pytest.raises(ModelUnavailableError, match="4 dimensions, and its card says 5"),
    ):
        encoder(endpoint, card).encode(["a"], "document")


@pytest.mark.parametrize(
    "answer",
    [{"data": []}, {}, {"data": [{"index": 0, "embedding": "AAAA"}]}, {"data": [{"index": 0}]}],
)
def test_an_answer_without_embeddings_is_refused(answer: Any) -> None:
    with (
        ModelEndpoint(lambda _: answer) as endpoint,
        pytest.raises(ModelUnavailableError, match="answers with"),
    ):
        encoder(endpoint).encode(["a"], "document")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("cohere:x", "remote"),
        ("jina:x", "remote"),
        ("tei:x", "remote"),
        ("chat:x", "listwise"),
        ("late:x", "late-interaction"),
        ("x", "cross-encoder"),
        ("other:x", "cross-encoder"),
    ],
)
def test_a_name_says_what_kind_of_model_it_is(name: str, kind: str) -> None:
    card = reranker_card(name)
    assert card.kind == kind
    assert card.served_name == ("other:x" if name == "other:x" else "x")


def test_the_key_is_in_no_text_of_the_settings() -> None:
    settings = Settings.model_validate({"rerank_api_key": KEY, "embedding_api_key": KEY})
    shown: list[Callable[[], object]] = [lambda: settings, settings.model_dump_json]
    assert all(KEY not in str(show()) for show in shown)
