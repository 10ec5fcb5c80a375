"""Model cards: what they know, how files make them, and which there are."""

import json
from pathlib import Path

import pytest

from service.errors import InvalidInputError
from service.model_cards import (
    DEFAULT_ENCODER,
    DEFAULT_RERANKER,
    Card,
    CardCalibration,
    EncoderCard,
    RerankerCard,
    card_values,
    encoder_card,
    encoder_cards,
    known_reranker_card,
    read_card,
    read_saved_cards,
    reranker_card,
    reranker_cards,
    save_card,
)
from service.search.relevance import Calibration
from service.settings import get_settings

FULL = RerankerCard(
    "a/b",
    512,
    kind="remote",
    endpoint="tei",
    weight=2.0,
    calibration=CardCalibration("platt", ((1.5, -0.5),), "300 queries"),
)


@pytest.mark.parametrize("config", ["german", "unaccent+arabic", "auto", "unaccent+auto"])
def test_an_english_model_does_not_read_other_languages(config: str) -> None:
    assert not encoder_card(DEFAULT_ENCODER).reads(config)


@pytest.mark.parametrize("config", ["english", "unaccent+english", "simple", "public.own"])
def test_a_model_is_trusted_with_what_may_be_its_language(config: str) -> None:
    assert encoder_card(DEFAULT_ENCODER).reads(config)


@pytest.mark.parametrize("config", ["german", "arabic", "auto"])
def test_a_multilingual_model_reads_many_languages(config: str) -> None:
    name = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
    assert encoder_card(name).reads(config)


@pytest.mark.parametrize(
    ("name", "dimension", "max_tokens", "pooling", "prompts"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", 384, 256, "mean", ("", "")),
        ("sentence-transformers/all-mpnet-base-v2", 768, 384, "mean", ("", "")),
        ("BAAI/bge-small-en-v1.5", 384, 512, "cls", ("Represent this sentence ", "")),
        ("BAAI/bge-base-en-v1.5", 768, 512, "cls", ("Represent this sentence ", "")),
        ("BAAI/bge-large-en-v1.5", 1024, 512, "cls", ("Represent this sentence ", "")),
        ("intfloat/e5-large-v2", 1024, 512, "mean", ("query: ", "passage: ")),
        ("allenai/specter2_base", 768, 512, "cls", ("", "")),
    ],
)
def test_ready_encoders_are_used_as_they_were_trained(
    name: str, dimension: int, max_tokens: int, pooling: str, prompts: tuple[str, str]
) -> None:
    card = encoder_card(name)
    assert (card.dimension, card.max_tokens, card.pooling) == (dimension, max_tokens, pooling)
    assert card.query_prompt.startswith(prompts[0])
    assert card.document_prompt == prompts[1]


def test_ready_cards_name_their_licences_and_are_one_a_name() -> None:
    cards: list[Card] = [*encoder_cards(), *reranker_cards()]
    assert all(card.license for card in cards)
    names = {card.name.rpartition("/")[2] for card in cards}
    assert len(names) == len(cards)
    assert names >= {
        "ms-marco-TinyBERT-L2-v2",
        "ms-marco-MiniLM-L6-v2",
        "ms-marco-MiniLM-L12-v2",
        "mmarco-mMiniLMv2-L12-H384-v1",
        "bge-reranker-base",
        "bge-reranker-large",
        "bge-reranker-v2-m3",
        DEFAULT_RERANKER.rpartition("/")[2],
    }


@pytest.mark.parametrize("card", [FULL, *encoder_cards(), *reranker_cards()])
def test_a_card_is_the_same_after_it_was_saved(card: Card, tmp_path: Path) -> None:
    save_card(card, tmp_path)
    assert read_saved_cards(tmp_path) == {card.name: card}


def test_a_cards_calibration_makes_a_calibration() -> None:
    assert FULL.calibration is not None
    assert Calibration(*FULL.calibration).relevance(1 / 3) == pytest.approx(0.5)


def test_the_folder_of_the_settings_adds_cards_and_overrules_ready_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_card(EncoderCard("mine/own", 16, 128), tmp_path)
    save_card(RerankerCard(DEFAULT_RERANKER, 128, weight=7.0), tmp_path)
    monkeypatch.setenv("RANKGRES_MODEL_CARDS", str(tmp_path))
    get_settings.cache_clear()
    try:
        assert encoder_card("mine/own").dimension == 16
        assert reranker_card(DEFAULT_RERANKER).weight == 7.0
        assert encoder_card(DEFAULT_ENCODER).dimension == 384
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": "x", "dimension": 3, "max_tokens": 9}, "role"),
        ({"role": "encoder", "name": "x", "max_tokens": 9}, "dimension"),
        ({"role": "encoder", "name": "x", "dimension": "many", "max_tokens": 9}, "dimension"),
        ({"role": "reranker", "name": "x", "max_tokens": 9, "wait": 3}, "wait"),
        ({"role": "reranker", "name": "x", "max_tokens": 9, "kind": "oracle"}, "kind"),
        (
            {"role": "encoder", "name": "x", "dimension": 3, "max_tokens": 9, "pooling": "max"},
            "pool",
        ),
    ],
)
def test_values_that_make_no_card_are_named(values: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read_card(values, "a file")
    assert told in f"{caught.value.field} {caught.value.detail}"
    assert "a file" in caught.value.detail


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"role": "encoder"})])
def test_a_file_that_is_no_card_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(InvalidInputError, match=r"bad\.json"):
        read_saved_cards(tmp_path)


def test_a_folder_that_is_not_there_holds_no_cards(tmp_path: Path) -> None:
    assert read_saved_cards(tmp_path / "nowhere") == {}


def test_an_unknown_encoder_is_refused_with_how_to_make_its_card() -> None:
    with pytest.raises(InvalidInputError) as caught:
        encoder_card("nobody/nothing")
    assert "rankgres model probe" in (caught.value.mend or "")


def test_an_unknown_reranker_is_taken_for_a_cross_encoder() -> None:
    assert known_reranker_card("nobody/nothing") is None
    assert reranker_card("nobody/nothing") == RerankerCard("nobody/nothing", 512)


def test_late_interaction_by_a_known_encoder_reads_as_much_as_it_does() -> None:
    card = reranker_card(f"late:{DEFAULT_ENCODER}")
    assert (card.kind, card.max_tokens, card.served_name) == (
        "late-interaction",
        256,
        DEFAULT_ENCODER,
    )


def test_only_what_differs_from_the_defaults_is_written() -> None:
    assert card_values(RerankerCard("a", 9)) == {"role": "reranker", "name": "a", "max_tokens": 9}
