from pathlib import Path

import ir_measures
import pytest

from service.errors import InvalidInputError
from service.evaluation.evaluation import Rankings
from service.evaluation.metrics import measure_run
from service.evaluation.trec_runs import read_run, write_run

RANKINGS: Rankings = {
    "q1": [("guide to Postgres", 0.75), ("b", 0.5), ("a", 0.25)],
    "q2": [("Ω", 3.0)],
    "q3": [],
}


def documents(rankings: Rankings) -> dict[str, list[str]]:
    return {query: [name for name, _ in ranking] for query, ranking in rankings.items()}


def test_a_run_that_is_written_is_read_as_it_was(tmp_path: Path) -> None:
    write_run(tmp_path / "mine.run", "mine", RANKINGS)
    name, rankings = read_run(tmp_path / "mine.run")
    assert name == "mine"
    assert rankings == {query: ranking for query, ranking in RANKINGS.items() if ranking}


def test_the_columns_are_those_of_trec(tmp_path: Path) -> None:
    write_run(tmp_path / "mine.run", "mine", {"q2": [("d", 3.0), ("e", 0.1)]})
    lines = (tmp_path / "mine.run").read_text().splitlines()
    assert lines == ["q2\tQ0\td\t1\t3.0\tmine", "q2\tQ0\te\t2\t0.1\tmine"]


@pytest.mark.parametrize(
    "scores",
    [
        [1.0, 1.0, 1.0, 1.0],  # ties, which other tools break by id
        [0.2, 0.9, 0.5, 0.5],  # reranked first, then the rest in fused order: not falling
        [1 + 3e-9, 1 + 2e-9, 1 + 1e-9, 1.0],  # the same number in 32 bits
        [-1e30, -2.0, -3.0, -4.0],
    ],
)
def test_tools_that_sort_by_score_alone_see_the_order_that_was_measured(
    tmp_path: Path, scores: list[float]
) -> None:
    # Judged so that every order of the four has another value.
    relevance = {"q": {"d": 1, "c": 0, "b": 4, "a": 9}}
    ranking = list(zip("dbca", scores, strict=True))
    write_run(tmp_path / "x.run", "x", {"q": ranking})
    columns = [line.split("\t") for line in (tmp_path / "x.run").read_text().splitlines()]
    scored = {name: float(score) for _, _, name, _, score, _ in columns}
    measure = ir_measures.parse_measure("nDCG@10")
    elsewhere = ir_measures.calc_aggregate([measure], relevance, {"q": scored})[measure]
    ours = measure_run(relevance, {"q": list("dbca")}).mean["nDCG@10"]
    assert elsewhere == pytest.approx(ours)
    assert documents(read_run(tmp_path / "x.run")[1]) == {"q": list("dbca")}


def test_runs_of_other_tools_are_ordered_by_score_and_then_by_rank(tmp_path: Path) -> None:
    path = tmp_path / "theirs.run"
    path.write_text("q 0 low 1 0.5 x\nq 0 second 3 2e0 x\nq 0 first 2 2.0 x\n")
    assert documents(read_run(path)[1]) == {"q": ["first", "second", "low"]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("q Q0 d 1 0.5\n", "line 1: 5 columns, not 6"),
        ("q Q0 d 1 0.5 x\n\nq Q0 d 2 0.4 x\n", "line 3: query 'q' has 'd' a second time"),
        ("q Q0 d 1 high x\n", "line 1: 'high' is not a number"),
        ("q Q0 d 1 nan x\n", "line 1: 'nan' is not a number"),
        ("q Q0 d first 1.0 x\n", "line 1: 'first' is not a number"),
        ("\n", "holds no line"),
    ],
)
def test_a_bad_run_file_names_line_and_mend(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "bad.run"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read_run(path)
    assert said in caught.value.detail
    assert caught.value.field == "run_file"
    assert caught.value.mend


def test_an_id_that_ends_a_column_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="holds a tab or a line break"):
        write_run(tmp_path / "x.run", "x", {"q": [("a\tb", 1.0)]})


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"cannot write .*x\.run"):
        write_run(tmp_path / "nowhere" / "x.run", "x", RANKINGS)
