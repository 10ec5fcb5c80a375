"""A filled collection that every test of searching reads and none writes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

_TIDES = (
    "The moon pulls the water of the oceans towards it, and a bulge travels round the earth as it "
    "turns. Most coasts therefore see two high tides and two low tides a day."
)
_MANUAL = """Read this before the first firing.

# Loading

Place heavy ware on the lowest shelf. Leave two fingers of room between pots, because glazed \
surfaces that touch will fuse. Kiln wash protects the shelves from drips.

# Firing

## Bisque

Raise the temperature slowly up to the boiling point of water, so that moisture can leave the clay \
without cracking it. Then continue at a hundred and fifty degrees an hour.

## Glaze

Glaze firings may climb faster. Hold the top temperature for ten minutes, which lets bubbles in \
the molten glaze heal over.

# Cooling

Never open the kiln above two hundred degrees. Cold air makes the ware crack with a ringing sound.
"""

DOCUMENTS: list[dict[str, Any]] = [
    {
        "id": "tides",
        "title": "Why the sea rises",
        "text": _TIDES,
        "metadata": {"topic": "nature", "year": 2019},
    },
    {
        "id": "glacier",
        "title": "Rivers of ice",
        "text": "Snow that never melts is pressed into ice and creeps downhill under its weight.",
        "metadata": {"topic": "nature", "year": 2021},
    },
    {
        "id": "script",
        "title": "Markup",
        "text": "A page that prints <script>alert('tea & milk')</script> unescaped runs it.",
        "metadata": {"topic": "craft", "year": 2023, "draft": True},
    },
    {
        "id": "sourdough",
        "title": "Bread without yeast packets",
        "text": "Flour and water left in a jar begin to ferment. Feed the starter every day and it "
        "will raise a loaf after a week.",
        "metadata": {"topic": "craft", "year": 2020},
    },
    {
        "id": "violin",
        "title": "Tuning by ear",
        "text": "Bow two strings together and turn the peg until the beating slows and stops.",
        "metadata": {"topic": "music", "year": 2018},
    },
    {
        "id": "kiln",
        "title": "Kiln manual",
        "text": _MANUAL,
        "metadata": {"topic": "craft", "year": 2022, "tags": ["clay", "heat"]},
    },
]


@pytest.fixture(scope="session")
def library(http: httpx.Client) -> Iterator[str]:
    """A collection of six documents; the kiln manual is cut into many small chunks."""
    body = {"name": "library", "chunk_tokens": 64, "overlap_tokens": 8}
    assert http.post("/collections", json=body).status_code == 201
    answer = http.post(
        "/collections/library/documents", json={"documents": DOCUMENTS, "wait": True}
    )
    assert answer.json() == {"received": 6, "changed": 6, "waiting": 0, "failed": []}
    yield "library"
    http.delete("/collections/library")
