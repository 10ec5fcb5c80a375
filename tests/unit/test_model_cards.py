"""Model cards know which languages a model reads."""

import pytest

from service.model_cards import DEFAULT_ENCODER, encoder_card


@pytest.mark.parametrize("config", ["german", "unaccent+arabic", "auto", "unaccent+auto"])
def test_an_english_model_does_not_read_other_languages(config: str) -> None:
    assert not encoder_card(DEFAULT_ENCODER).reads(config)


@pytest.mark.parametrize("config", ["english", "unaccent+english", "simple", "public.own"])
def test_a_model_is_trusted_with_what_may_be_its_language(config: str) -> None:
    assert encoder_card(DEFAULT_ENCODER).reads(config)
