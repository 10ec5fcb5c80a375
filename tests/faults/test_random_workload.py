"""Random writing under random faults, for about a minute; ``make test-faults`` does it for long."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.faults.fleet import Fleet

_FAULTS = 12


@pytest.fixture
def fleet(session_folder: Path) -> Iterator[Fleet]:
    with Fleet(session_folder / "fleet").running() as fleet:
        yield fleet


def test_whatever_is_written_while_anything_fails_the_index_ends_equal_to_the_source(
    fleet: Fleet,
) -> None:
    report = Campaign(fleet, secrets.token_hex(4)).run_round(1, _FAULTS)
    # It was not idle.
    assert report.faults.total() >= _FAULTS
    assert report.transactions > _FAULTS
    assert report.texts > 100
