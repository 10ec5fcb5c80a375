import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.errors import InvalidInputError
from service.model_cards import DEFAULT_ENCODER, encoder_card
from service.settings import Settings
from workers.inference.backend import DeadlineExceededError
from workers.inference.encoder import Encoder, load_encoder, open_encoder

QUERY = "how do I run a command with a timeout"
SUBPROCESS = (
    "subprocess.run(args, timeout=None): run the command described by args and wait for it. "
    "If the timeout expires, the child process is killed and TimeoutExpired is raised."
)
RECIPE = (
    "Whisk the eggs with the sugar until pale, fold in the flour and the melted butter, and bake "
    "for twenty five minutes until a skewer comes out clean."
)
TEXTS = [
    SUBPROCESS,
    "os",
    RECIPE,
    "Return a list of the lines in the string, breaking at line boundaries.",
    "",
    "Ein Satz mit Umlauten: über Größe, naïve café. 日本語の文章。",
    "The heap queue algorithm keeps the smallest element at index zero. " * 6,
]
LONG = "The quick brown fox jumps over the lazy dog. " * 60


def test_each_text_has_one_normalised_row(encoder: Encoder) -> None:
    encoding = encoder.encode(TEXTS, "document")
    assert encoding.embeddings.shape == (len(TEXTS), encoder.card.dimension)
    assert encoding.embeddings.dtype == np.float32
    assert np.linalg.norm(encoding.embeddings, axis=1) == pytest.approx(1, abs=1e-5)


def test_no_text_gives_no_row(encoder: Encoder) -> None:
    encoding = encoder.encode([], "query")
    assert encoding.embeddings.shape == (0, encoder.card.dimension)
    assert (encoding.token_counts, encoding.truncated) == ([], [])


def test_rows_follow_the_texts_whatever_is_batched_with_them(encoder: Encoder) -> None:
    together = encoder.encode(TEXTS, "document").embeddings
    backwards = encoder.encode(TEXTS[::-1], "document").embeddings[::-1]
    alone = np.concatenate([encoder.encode([text], "document").embeddings for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    np.testing.assert_allclose(together, backwards, atol=1e-4)


def test_int8_embeddings_are_a_function_of_the_text_alone(model_home: Path) -> None:
    encoder = load_encoder(DEFAULT_ENCODER, Settings(home=model_home, inference_backend="onnx"))
    try:
        together = encoder.encode(TEXTS, "document").embeddings
        alone = [encoder.encode([text], "document").embeddings[0] for text in TEXTS]
        assert np.array_equal(together, np.stack(alone))
    finally:
        encoder.close()


def test_embeddings_agree_with_torch_in_fp32(encoder: Encoder, exact_encoder: Encoder) -> None:
    found = encoder.encode(TEXTS, "document").embeddings
    exact = exact_encoder.encode(TEXTS, "document").embeddings
    lowest = 0.98 if encoder.backend_name == "onnx-int8" else 0.9999
    assert (found * exact).sum(axis=1).min() > lowest


def test_a_question_is_nearer_to_its_answer_than_to_a_recipe(encoder: Encoder) -> None:
    query = encoder.encode([QUERY], "query").embeddings[0]
    answer, recipe = encoder.encode([SUBPROCESS, RECIPE], "document").embeddings
    assert query @ answer > query @ recipe + 0.3


def test_prompts_of_the_card_stand_before_the_text(settings: Settings, encoder: Encoder) -> None:
    card = replace(encoder.card, query_prompt="query: ", document_prompt="passage: ")
    prompted = open_encoder(card, settings)
    try:
        for role, text in (("query", "query: a heap"), ("document", "passage: a heap")):
            found = prompted.encode(["a heap"], "query" if role == "query" else "document")
            expected = encoder.encode([text], "document")
            np.testing.assert_allclose(found.embeddings, expected.embeddings, atol=1e-5)
            assert found.token_counts == expected.token_counts
        assert prompted.count_tokens(["a heap"]) == encoder.count_tokens(["passage: a heap"])
    finally:
        prompted.close()


def test_truncation_is_reported_with_the_full_count(encoder: Encoder) -> None:
    encoding = encoder.encode(["short", LONG], "document")
    assert encoding.truncated == [False, True]
    assert encoding.token_counts == [3, 602]  # 60 times 10 words and dots, [CLS] and [SEP]
    assert encoder.count_tokens(["short", LONG]) == encoding.token_counts


def test_a_truncated_text_is_embedded_as_its_head(encoder: Encoder) -> None:
    budget = encoder.card.max_tokens - 2
    offsets = encoder.tokenizer.encode(LONG, add_special_tokens=False).offsets
    head = encoder.encode([LONG[: offsets[budget - 1][1]]], "document")
    assert (head.token_counts, head.truncated) == ([encoder.card.max_tokens], [False])
    whole = encoder.encode([LONG], "document")
    np.testing.assert_allclose(whole.embeddings, head.embeddings, atol=1e-5)


def test_many_threads_get_what_one_would(encoder: Encoder) -> None:
    texts = [f"{text} {number}" for number in range(4) for text in TEXTS]
    expected = encoder.encode(texts, "document").embeddings
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda text: encoder.encode([text], "document"), texts))
    rows = np.concatenate([encoding.embeddings for encoding in found])
    np.testing.assert_allclose(rows, expected, atol=1e-4)


def test_a_deadline_that_passed_raises(encoder: Encoder) -> None:
    with pytest.raises(DeadlineExceededError):
        encoder.encode(["late"], "query", deadline=time.monotonic() - 1)
    assert len(encoder.encode(["in time"], "query", time.monotonic() + 60).embeddings) == 1


def test_a_model_without_a_card_is_refused(settings: Settings) -> None:
    with pytest.raises(InvalidInputError) as caught:
        load_encoder("nobody/nothing", settings)
    assert DEFAULT_ENCODER in (caught.value.mend or "")


def test_the_tokenizer_neither_cuts_nor_pads(encoder: Encoder) -> None:
    lengths = [len(found) for found in encoder.tokenizer.encode_batch(["short", LONG])]
    assert lengths == [3, 602]
    assert encoder_card(DEFAULT_ENCODER).max_tokens == 256
