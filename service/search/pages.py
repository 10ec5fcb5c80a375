"""Pages: a search's final list, kept for a while, and read on from where the last page ended.

The list holds ids, positions, ranks and scores; texts are read when a page is. So pages are
disjoint and complete over the list, whatever is written meanwhile: a document that is gone is left
out of its page and counted, one that changed is shown as it is now, one that is new waits for the
next search.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from uuid import UUID, uuid4

from psycopg.types.json import Jsonb

from service.db.connection import Connection
from service.db.statements import load_statements
from service.errors import CursorExpiredError, InvalidInputError
from service.search.candidates import Candidate
from service.search.ranking import ModelScore, RankedDocument
from service.search.relevance import Judged

_SQL = load_statements(__file__)

#: How long a list is kept after its last page was read.
SNAPSHOT_SECONDS = 600.0

_ID_BYTES = 16
_PLACE_BYTES = 4
#: Twenty bytes in base64 without their padding.
_CURSOR = re.compile(r"[A-Za-z0-9_-]{27}")


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list.

    ``ranks[i]`` is the place of ``documents[i]`` in the whole list, from 1. ``gone`` counts
    documents of this part that were deleted since the search. ``request`` is what
    ``save_snapshot`` was given. ``next_cursor`` is None at the end of the list.
    """

    generation_id: int
    request: Mapping[str, Any]
    documents: list[RankedDocument]
    ranks: list[int]
    gone: int
    next_cursor: str | None


def save_snapshot(
    connection: Connection,
    generation_id: int,
    request: Mapping[str, Any],
    documents: Sequence[RankedDocument],
    *,
    shown: int,
    seconds: float = SNAPSHOT_SECONDS,
) -> str | None:
    """Keep a search's list and return the cursor of what follows the first ``shown`` documents.

    Nothing is kept, and None returned, where nothing follows.

    Args:
        connection: in a transaction; the cursor is good once that is committed.
        generation_id: the generation that was searched.
        request: JSON values that the further pages need, such as the query for their snippets.
        documents: all of them, in their final order.
        shown: how many the first page has.
        seconds: how long to keep the list; every page read begins them anew.
    """
    if shown >= len(documents):
        return None
    snapshot = uuid4()
    connection.execute(
        _SQL["save"],
        {
            "id": snapshot,
            "generation_id": generation_id,
            "seconds": seconds,
            "request": Jsonb(dict(request)),
            "ranking": Jsonb([_kept(document) for document in documents]),
        },
    )
    return _cursor(snapshot, shown)


def load_page(
    connection: Connection,
    collection: str,
    cursor: str,
    size: int,
    *,
    seconds: float = SNAPSHOT_SECONDS,
) -> Page:
    """Return the next ``size`` documents of the list that the cursor goes on with.

    The same cursor gives the same documents again, and pages of any size may follow one another.

    Raises:
        InvalidInputError: what is given is no cursor.
        CursorExpiredError: its list is not kept any more, or was another collection's.
    """
    snapshot, first = _read(cursor)
    opened = connection.execute(
        _SQL["open"],
        {
            "id": snapshot,
            "collection": collection,
            "seconds": seconds,
            "first": first,
            "last": first + size - 1,
        },
    ).fetchone()
    if opened is None:
        raise CursorExpiredError(
            "the list that the cursor goes on with is not kept any more",
            field="cursor",
            value=cursor,
            mend=f"search again; a list is kept for {seconds / 60:g} minutes after its last page",
        )
    generation_id, request, total, kept = opened
    shown = _passages(connection, generation_id, kept)
    places = [place for place in range(len(kept)) if place in shown]
    return Page(
        generation_id=generation_id,
        request=request,
        documents=[_restored(kept[place], shown[place]) for place in places],
        ranks=[first + place + 1 for place in places],
        gone=len(kept) - len(places),
        next_cursor=_cursor(snapshot, first + size) if first + size < total else None,
    )


def sweep_snapshots(connection: Connection) -> int:
    """Remove the lists that have expired, and return how many there were."""
    return connection.execute(_SQL["sweep"]).rowcount


def _passages(
    connection: Connection, generation_id: int, kept: Sequence[Mapping[str, Any]]
) -> dict[int, list[tuple[Any, ...]]]:
    """Return the rows of the passages that are still there, by the document's place in the page."""
    wanted = [
        (place, passage, document["id"], position)
        for place, document in enumerate(kept)
        for passage, position in enumerate(document["positions"], start=1)
    ]
    rows = connection.execute(
        _SQL["passages"],
        {
            "generation_id": generation_id,
            "places": [place for place, _, _, _ in wanted],
            "passages": [passage for _, passage, _, _ in wanted],
            "document_ids": [document_id for _, _, document_id, _ in wanted],
            "positions": [position for _, _, _, position in wanted],
        },
    ).fetchall()
    return {place: list(group) for place, group in groupby(rows, key=lambda row: int(row[0]))}


def _kept(document: RankedDocument) -> dict[str, Any]:
    best = document.best
    return {
        "id": best.document_id,
        "positions": [passage.position for passage in document.passages],
        "score": document.score,
        "models": [_kept_score(document.rerank), _kept_score(document.second)],
        "window": document.window,
        "judged": [document.judged.relevance, document.judged.source],
        "fused": [best.rank, best.score],
        "lexical": [best.lexical_rank, best.lexical_score],
        "vector": [best.vector_rank, best.vector_score],
    }


def _restored(kept: Mapping[str, Any], rows: Sequence[tuple[Any, ...]]) -> RankedDocument:
    # A list that was kept before this version has none of these.
    models = kept.get("models") or (None, None)
    window = kept.get("window")
    passages = tuple(
        Candidate(
            rank=kept["fused"][0],
            passage=passage,
            document_id=kept["id"],
            position=position,
            heading=heading,
            text=text,
            start_offset=start,
            end_offset=end,
            metadata=metadata,
            score=kept["fused"][1],
            lexical_rank=kept["lexical"][0],
            lexical_score=kept["lexical"][1],
            vector_rank=kept["vector"][0],
            vector_score=kept["vector"][1],
        )
        for passage, (_, _, position, heading, text, start, end, metadata) in enumerate(
            rows, start=1
        )
    )
    return RankedDocument(
        passages,
        kept["score"],
        rerank=_restored_score(models[0]),
        second=_restored_score(models[1]),
        window=window and (window[0], window[1]),
        judged=Judged(*kept.get("judged", ())),
    )


def _kept_score(scored: ModelScore | None) -> list[Any] | None:
    return None if scored is None else [scored.model, scored.score, scored.rank]


def _restored_score(kept: Sequence[Any] | None) -> ModelScore | None:
    return None if kept is None else ModelScore(*kept)


def _cursor(snapshot: UUID, first: int) -> str:
    content = snapshot.bytes + first.to_bytes(_PLACE_BYTES, "big")
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _read(cursor: str) -> tuple[UUID, int]:
    """Return the snapshot and the place, from 0, at which the page begins."""
    content = base64.urlsafe_b64decode(cursor + "=") if _CURSOR.fullmatch(cursor) else b""
    first = int.from_bytes(content[_ID_BYTES:], "big")
    # Places are kept to what Postgres has integers for, with room for a page.
    if not content or first >= 1 << 30:
        raise InvalidInputError(
            "that is no cursor",
            field="cursor",
            value=cursor,
            mend="pass next_cursor of a search's answer as it is",
        )
    return UUID(bytes=content[:_ID_BYTES]), first
