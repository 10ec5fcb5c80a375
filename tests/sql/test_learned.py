"""What was learned from judgements: kept with its collection, and read in one statement."""

from typing import Any

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from service.collections.collection import Generation, active_generation, drop_collection
from service.collections.learned import (
    Learned,
    RerankProfile,
    Target,
    list_calibrations,
    parse_rerank_profile,
    read_learned,
    read_rerank_profile,
    remove_calibrations,
    write_calibration,
    write_rerank_profile,
)
from service.collections.profile import parse_profile, write_profile
from service.db.connection import Connection
from service.db.driver_errors import translated
from service.errors import InvalidInputError, NotFoundError
from service.search.depth import DepthPolicy, DepthRule
from service.search.relevance import Calibration
from tests.support.collections import make_collection, value

CURVE = Calibration("platt", ((1.5, -2.0),), "")
STEPS = Calibration("isotonic", ((0.0, 0.1), (1.0, 0.9)), "")
POLICY = DepthPolicy((DepthRule(0.5, 0.1, 20),))


@pytest.fixture
def generation(connection: Connection) -> Generation:
    make_collection(connection)
    return active_generation(connection, "papers")


def calibrate(connection: Connection, target: Target, model: str, curve: Calibration) -> None:
    write_calibration(
        connection, "papers", target, model, curve, judged_queries=30, figures={"brier": 0.1}
    )


def test_a_collection_of_which_nothing_was_learned_has_the_defaults(
    connection: Connection, generation: Generation
) -> None:
    assert read_learned(connection, generation) == Learned()
    assert read_rerank_profile(connection, "papers") == RerankProfile()
    assert list_calibrations(connection, "papers") == []


def test_a_rerank_profile_is_read_as_it_was_written_and_an_empty_one_is_none(
    connection: Connection, generation: Generation
) -> None:
    profile = RerankProfile(weight=0.5, candidates=40, adaptive=POLICY.as_json(), source="a test")
    write_rerank_profile(connection, "papers", profile)
    assert read_learned(connection, generation).rerank_profile == profile
    assert profile.policy == POLICY
    write_rerank_profile(connection, "papers", RerankProfile())
    stored = "SELECT rerank_profile FROM rankgres.collection WHERE name = 'papers'"
    assert value(connection, stored) is None


def test_calibrations_are_read_by_what_they_are_of_and_say_where_they_came_from(
    connection: Connection, generation: Generation
) -> None:
    calibrate(connection, "rerank", "a cross-encoder", CURVE)
    calibrate(connection, "rerank", "another", STEPS)
    calibrate(connection, "fused", "by hand", STEPS)
    calibrate(connection, "fused", "of another generation", CURVE)
    learned = read_learned(connection, generation)
    assert set(learned.rerank_calibrations) == {"a cross-encoder", "another"}
    today = value(connection, "SELECT to_char(now(), 'YYYY-MM-DD')")
    source = f"rankgres calibrate, 30 judged queries, {today}"
    assert learned.rerank_calibrations["a cross-encoder"] == Calibration(
        "platt", CURVE.points, source
    )
    assert learned.fused_calibration == Calibration("isotonic", STEPS.points, source)


def test_a_calibration_takes_the_place_of_the_one_before(
    connection: Connection, generation: Generation
) -> None:
    calibrate(connection, "rerank", "a cross-encoder", CURVE)
    calibrate(connection, "rerank", "a cross-encoder", STEPS)
    (kept,) = list_calibrations(connection, "papers")
    assert (kept.method, kept.points) == ("isotonic", [[0.0, 0.1], [1.0, 0.9]])
    assert (kept.judged_queries, kept.figures) == (30, {"brier": 0.1})
    assert generation.collection_id > 0


def test_fused_scores_are_judged_only_under_the_profile_that_they_were_calibrated_under(
    connection: Connection, generation: Generation
) -> None:
    calibrate(connection, "rerank", "a cross-encoder", CURVE)
    calibrate(connection, "fused", "by hand", STEPS)
    write_profile(connection, "papers", parse_profile({"lexical_weight": 0.9}))
    learned = read_learned(connection, generation)
    assert learned.fused_calibration is None
    assert set(learned.rerank_calibrations) == {"a cross-encoder"}
    counting = {each.target: each.counts for each in list_calibrations(connection, "papers")}
    assert counting == {"rerank": True, "fused": False}
    write_profile(connection, "papers", parse_profile({}))
    assert read_learned(connection, generation).fused_calibration is not None


def test_a_collections_own_calibration_goes_before_the_one_of_the_card() -> None:
    learned = Learned(rerank_calibrations={"own": CURVE}, fused_calibration=STEPS)
    shipped = Calibration("platt", ((9.0, 9.0),), "the card")
    assert learned.calibrations("own", shipped, fused=True).rerank is CURVE
    assert learned.calibrations("other", shipped, fused=True).rerank is shipped
    assert learned.calibrations("other", None, fused=True).rerank is None
    assert learned.calibrations(None, None, fused=True).fused is STEPS
    assert learned.calibrations("own", None, fused=False).fused is None


def test_calibrations_are_forgotten_and_go_with_their_collection(
    connection: Connection, generation: Generation
) -> None:
    calibrate(connection, "rerank", "a cross-encoder", CURVE)
    assert remove_calibrations(connection, "papers") == 1
    assert remove_calibrations(connection, "papers") == 0
    calibrate(connection, "rerank", "a cross-encoder", CURVE)
    drop_collection(connection, "papers")
    assert value(connection, "SELECT count(*) FROM rankgres.calibration") == 0
    # A search that began before finds nothing learned; its next statement says why.
    assert read_learned(connection, generation) == Learned()
    with pytest.raises(NotFoundError):
        list_calibrations(connection, "papers")


@pytest.mark.parametrize(
    ("values", "field", "said"),
    [
        ({"weight": -1}, "rerank.weight", "greater than or equal to 0"),
        ({"weight": "much"}, "rerank.weight", "valid number"),
        ({"candidates": 0}, "rerank.candidates", "greater than or equal to 1"),
        ({"adaptive": {"rules": [{"depth": 3}]}}, "rerank.adaptive", "no depth policy"),
        ({"deep": 3}, "rerank.deep", "there is no parameter 'rerank.deep'"),
    ],
)
def test_what_is_no_rerank_profile_is_refused(
    values: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        parse_rerank_profile(values)
    assert refused.value.field == field
    assert said in refused.value.detail
    assert refused.value.mend


@pytest.mark.parametrize(
    ("column", "broken", "mend"),
    [
        ("target", "best", "use rerank or fused"),
        ("method", "cubic", "use platt or isotonic"),
        ("points", Jsonb({}), "pairs"),
        ("figures", Jsonb([]), "JSON object"),
        ("judged_queries", 0, "1 or more"),
    ],
)
def test_the_database_keeps_nothing_else(
    connection: Connection, generation: Generation, column: str, broken: Any, mend: str
) -> None:
    row = {
        "collection_id": generation.collection_id,
        "target": "rerank",
        "model": "m",
        "method": "platt",
        "points": Jsonb([[1, 0]]),
        "judged_queries": 3,
        "figures": Jsonb({}),
        "search_profile": Jsonb({}),
    }
    statement = (
        "INSERT INTO rankgres.calibration (collection_id, target, model, method, points, "
        "judged_queries, figures, search_profile) VALUES (%(collection_id)s, %(target)s, "
        "%(model)s, %(method)s, %(points)s, %(judged_queries)s, %(figures)s, %(search_profile)s)"
    )
    with pytest.raises(InvalidInputError) as refused, translated(), connection.transaction():
        connection.execute(statement, row | {column: broken})
    assert refused.value.field == column
    assert mend in (refused.value.mend or "")


def test_a_profile_that_is_no_object_is_refused(
    connection: Connection, generation: Generation
) -> None:
    with pytest.raises(errors.CheckViolation), connection.transaction():
        connection.execute(
            "UPDATE rankgres.collection SET rerank_profile = '[]' WHERE id = %s",
            [generation.collection_id],
        )
