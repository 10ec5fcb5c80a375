"""The fusion that tuning computes is the fusion that searches do."""

import numpy as np
import pytest

from service.db.connection import Connection
from service.evaluation.fusion import FUSIONS, FusionTable, StageList

FUSE = """
    SELECT fused.document_id, fused.score
    FROM rankgres.fuse_v1(
        ARRAY(
            SELECT (document, 0, score, rank, 1)::rankgres.ranked_chunk
            FROM unnest(%s::text [], %s::double precision [])
                WITH ORDINALITY AS given (document, score, rank)
        ),
        ARRAY(
            SELECT (document, 0, score, rank, 1)::rankgres.ranked_chunk
            FROM unnest(%s::text [], %s::double precision [])
                WITH ORDINALITY AS given (document, score, rank)
        ),
        %s, %s, %s
    ) AS fused
    ORDER BY fused.score DESC, fused.document_id COLLATE "C"
"""
DOCUMENTS = [*"abcdefgh", "Z", "é", "中"]


def some_lists(seed: int) -> tuple[StageList, StageList]:
    """Two lists of 0 to 8 documents, with ties, overlap, and scores that no stage would give."""
    chance = np.random.default_rng(seed)
    lists = []
    for least, greatest in ((0.5, 30.0), (-1.5, 1.0)):
        count = int(chance.integers(0, 9))
        names = [str(name) for name in chance.permutation(DOCUMENTS)[:count]]
        scores = np.sort(chance.uniform(least, greatest, count).round(1))[::-1]
        if chance.random() < 0.2:
            scores = np.full(count, 0.7)
        lists.append(dict(zip(names, scores.tolist(), strict=True)))
    return lists[0], lists[1]


@pytest.mark.parametrize("fusion", FUSIONS)
def test_scores_and_order_are_those_of_the_database(connection: Connection, fusion: str) -> None:
    pairs = [some_lists(seed) for seed in range(60)]
    table = FusionTable([words for words, _ in pairs], [near for _, near in pairs])
    for weight, k in ((0.0, 60), (0.3, 1), (0.5, 60), (1.0, 10)):
        scores = table.scores(fusion, weight, k)
        order = table.order(fusion, weight, k, 20)
        for number, (words, near) in enumerate(pairs):
            values = [list(words), list(words.values()), list(near), list(near.values())]
            rows = connection.execute(FUSE, [*values, fusion, weight, k]).fetchall()
            names = table.documents(number)
            ours = {name: float(scores[number, place]) for place, name in enumerate(names)}
            assert ours == pytest.approx(dict(rows), abs=1e-12)
            ordered = [names[place] for place in order[number] if place < len(names)]
            # Where rounding alone tells two scores apart, either order is right.
            assert [round(ours[name], 9) for name in ordered] == [
                round(score, 9) for _, score in rows
            ]
            if len({round(score, 9) for _, score in rows}) == len(rows):
                assert ordered == [name for name, _ in rows]


def test_every_fusion_of_the_database_is_tuned(connection: Connection) -> None:
    body = connection.execute(
        "SELECT prosrc FROM pg_proc WHERE oid = to_regproc('rankgres.fuse_v1')"
    ).fetchone()
    assert body is not None
    known = body[0].split("'{", 1)[1].split("}'", 1)[0].split(",")
    assert sorted(known) == sorted(FUSIONS)
