from typing import Any

import pytest

from service.collections.profile import SearchProfile, parse_profile
from service.errors import InvalidInputError


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"fusion": "zscore", "lexical_weight": 0, "rrf_k": 60},
        {"match": "any"},
        {"match": "all"},
        {"match": "3"},
        {"match": "75%"},
        {"match": "100%"},
        {"min_score": -1.5, "autocut": 0, "diversity": 1},
        {"boosts": [{"field": "stars", "shape": "log"}], "recency": {"field": "published_at"}},
    ],
)
def test_a_profile_is_what_was_set_and_nothing_else(values: dict[str, Any]) -> None:
    assert parse_profile(values).as_json() == values


def test_nothing_and_null_are_the_same() -> None:
    assert parse_profile({"fusion": None}) == SearchProfile()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fusion", "best"),
        ("lexical_weight", 1.1),
        ("lexical_weight", float("nan")),
        ("lexical_weight", "0.5"),
        ("rrf_k", 0),
        ("rrf_k", 60.5),
        ("rrf_k", True),
        ("stage_candidates", 2**31),
        ("ef_search", 1001),
        ("heading_weight", -1),
        ("heading_weight", float("inf")),
        ("match", "some"),
        ("match", "0"),
        ("match", "101%"),
        ("correct", "yes"),
        ("autocut", -1),
        ("diversity", 2),
        ("recency", []),
        ("boosts", {}),
        ("language", "\0"),
        ("deadline_ms", 0),
    ],
)
def test_a_value_out_of_its_range_is_named_with_what_it_is(name: str, value: object) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_profile({"fusion": "rrf", name: value})
    assert caught.value.field == name
    assert caught.value.detail.startswith(f"{name}: ")
    assert (SearchProfile.model_fields[name].description or "-") in (caught.value.mend or "")


def test_an_unknown_parameter_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_profile({"lexical_wait": 0.5})
    assert caught.value.detail == "there is no parameter 'lexical_wait'"
    assert "lexical_weight" in (caught.value.mend or "")


@pytest.mark.parametrize("name", SearchProfile.model_fields)
def test_every_parameter_is_described(name: str) -> None:
    assert SearchProfile.model_fields[name].description
