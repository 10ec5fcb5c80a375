"""What must be indexed of attached tables, and how often a model may have read it.

Computed anew, with nothing of the product's SQL: ids, texts and filters in Python, chunks by the
chunker, embeddings by the fake model.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from pgvector.psycopg import register_vector

from service.model_cards import DEFAULT_ENCODER, encoder_card
from tests.faults.attached_tables import CHUNK_TOKENS, OVERLAP_TOKENS, AttachedTable, Key, Row
from tests.faults.encoding_log import Encoded, Trouble
from tests.faults.fleet import Connection
from tests.faults.writer import Writer
from tests.support.fake_encoder import fake_embeddings
from tests.support.index_truth import StoredChunk, assert_statistics_are_true
from workers.chunking import Chunker, embedded_text
from workers.inference.model_files import locate
from workers.inference.tokens import load_tokenizer

#: Between the end of a trouble and the last reading that it may have spoilt.
_SLACK_SECONDS = 0.5
#: So long may a change take to be indexed where nothing is broken.
_ON_ITS_WAY_SECONDS = 4.0
#: And so long until a comparison has found what no trigger can tell: it is tried again after 5 s
#: where Postgres went away.
_COMPARED_SECONDS = 20.0
#: Of a component, half precision keeps this much.
_ROUNDING = 1e-3


class AttachedTruth:
    """Chunks rows as a worker does, in this process."""

    def __init__(self) -> None:
        self._dimension = encoder_card(DEFAULT_ENCODER).dimension
        self._chunker = Chunker(
            load_tokenizer(locate(DEFAULT_ENCODER)),
            max_tokens=CHUNK_TOKENS,
            overlap_tokens=OVERLAP_TOKENS,
        )

    def assert_index_equals(
        self, connection: Connection, table: AttachedTable, rows: dict[Key, Row]
    ) -> None:
        """Compare chunks, embeddings and statistics with the rows of the table."""
        belonging = {key: row for key, row in rows.items() if table.belongs(row)}
        texts = [(table.title(row), table.text(row)) for row in belonging.values()]
        expected, read = [], []
        for (key, row), chunks in zip(
            belonging.items(), self._chunker.split_batch(texts), strict=True
        ):
            for c in chunks:
                read.append(embedded_text(c))
                expected.append(
                    StoredChunk(
                        table.document_id(key),
                        c.position,
                        c.start,
                        c.end,
                        c.heading,
                        c.text,
                        table.filters(row),
                    )
                )
        stored, embeddings = _stored_chunks(connection, table.collection)
        order = sorted(range(len(expected)), key=lambda place: expected[place][:2])
        # Lists, not sets: a duplicate is a difference.
        assert stored == [expected[place] for place in order]
        if stored:
            truth = fake_embeddings([read[place] for place in order], self._dimension)
            wrong = np.flatnonzero(np.abs(np.array(embeddings) - truth).max(axis=1) > _ROUNDING)
            assert [stored[place][:2] for place in wrong] == []
        assert_statistics_are_true(connection, generation_of(connection, table.collection))


def generation_of(connection: Connection, collection: str) -> int:
    """Return the active generation."""
    row = connection.execute(
        "SELECT generation_id FROM rankgres.collection_status "
        "WHERE collection = %s AND state = 'active'",
        [collection],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _stored_chunks(
    connection: Connection, collection: str
) -> tuple[list[StoredChunk], list[list[float]]]:
    register_vector(connection)
    rows = connection.execute(
        "SELECT document_id, position, start_offset, end_offset, heading, text, filters, embedding "
        "FROM rankgres.chunk WHERE generation_id = %s "
        'ORDER BY document_id COLLATE "C", position',
        [generation_of(connection, collection)],
    ).fetchall()
    return [StoredChunk(*row[:-1]) for row in rows], [row[-1].to_list() for row in rows]


class Unexplained(NamedTuple):
    """A text that a model read more often than anything explains."""

    stamps: frozenset[str]
    reads: Sequence[float]
    changes: int
    troubles: int


def unexplained_encodings(
    encoded: Sequence[Encoded], writers: Sequence[Writer], troubles: Sequence[Trouble]
) -> list[Unexplained]:
    """Return the texts that were read too often.

    A text may be read once for each statement that changed its row since the text came to be, the
    one that wrote it included, and once more for each trouble between its first reading and its
    last, which may have lost what was computed.
    """
    reads: dict[tuple[str, frozenset[str]], list[float]] = defaultdict(list)
    for seconds, digest, stamps in encoded:
        reads[digest, stamps].append(seconds)
    by_letter = {writer.table.letter: writer for writer in writers}
    found = []
    for (_, stamps), times in reads.items():
        if len(times) > 1:
            changes = _changes(by_letter, stamps, times[-1])
            between = sum(
                trouble.began <= times[-1] and trouble.ended >= times[0] - _SLACK_SECONDS
                for trouble in troubles
            )
            if len(times) > changes + between:
                found.append(Unexplained(stamps, times, changes, between))
    return found


def _changes(by_letter: dict[str, Writer], stamps: frozenset[str], until: float) -> int:
    """Return how many statements changed the row of a text, from the one that wrote it on.

    One before that counts as well where it may still have been on its way: then the text was read
    because of the older change, and once more when the news of its own came. What emptied the table
    is found by a comparison, for which workers read anew what they hold.
    """
    count, on_its_way = 0, False
    for letter in {stamp[0] for stamp in stamps}:
        writer = by_letter[letter]
        own = [stamp for stamp in stamps if stamp[0] == letter]
        made = max(map(writer.stamps.made, own))
        for change in writer.changes:
            touched = max(change.lineages[writer.stamps.lineage(stamp)] for stamp in own)
            if change.began <= until and change.ended >= made - _COMPARED_SECONDS:
                count += change.everything
            if change.began <= until and change.ended >= made:
                count += touched
            elif touched and made - _ON_ITS_WAY_SECONDS < change.ended < made:
                on_its_way = True
    return count + on_its_way
