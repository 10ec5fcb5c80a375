import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest

from service.evaluation.comparison import compare_runs
from service.evaluation.evaluation import Answer, EvaluationReport, Reranked, evaluate_runs
from service.evaluation.html_report import render_html
from service.evaluation.judgements import Judgements

QUERIES = {f"q{number}": f"what is <b>{number}</b> & why?" for number in range(12)}
JUDGEMENTS = Judgements(QUERIES, {query: {"right": 1} for query in QUERIES}, 0, 0)
#: Elements that HTML closes by themselves.
VOID = {"meta", "br"}


class Outline(HTMLParser):
    """What a page consists of; an element that is closed out of turn is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def named(self, tag: str) -> Sequence[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def search(text: str, run: str, _k: int) -> Answer:
    number = next(place for place, each in enumerate(QUERIES.values()) if each == text)
    found = {"slow": number != 3, "fast": number % 2 == 0, "poor": False}[run]
    degraded = ["rerank: timeout"] if run == "poor" and number == 1 else []
    time = {"slow": 80.0, "fast": 4.0, "poor": 20.0}[run]
    documents = ["right"] if found else ["wrong", "right"] if run != "poor" else []
    return Answer(documents, time, degraded, stages={"candidates": time / 2})


def report(runs: Sequence[str], **given: dict[str, list[tuple[str, float]]]) -> EvaluationReport:
    return evaluate_runs("a <collection>", JUDGEMENTS, runs, search, given=given)


@pytest.fixture
def page() -> str:
    found = report(["slow", "fast", "poor"], file={"q1": [("right", 1.0)]})
    return render_html(found, compare_runs(found, "fast"), 3)


def test_the_page_is_well_formed_and_has_every_run_query_and_figure(page: str) -> None:
    text = Outline(page).text
    for name in ("slow", "fast", "poor", "file", "a <collection>", "nDCG@10", "recall@100"):
        assert name in text
    assert "slow less fast, query by query" in text
    assert "what is <b>1</b> & why?" in text  # a query, shown as it was asked
    assert "5 won" in text  # slow finds 1, 5, 7, 9 and 11 first, which fast does not
    assert "0 lost" in text
    assert "The figures of poor are not true: 1 answers were degraded (rerank: timeout)" in text
    assert "40.0 / 40.0 / 40.0" in text  # a stage's percentiles


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    outline = Outline(page)
    for tag in ("script", "link", "img", "iframe"):
        assert outline.named(tag) == []
    assert re.findall(r"url\(|@import|https?://|src=", page) == []
    assert "prefers-color-scheme: dark" in page


def test_the_scatter_has_a_point_a_run_that_was_timed_and_a_line_through_the_front(
    page: str,
) -> None:
    outline = Outline(page)
    circles = outline.named("circle")
    assert len(circles) == 3  # not the run of the file
    assert [circle["class"] for circle in circles] == ["point on", "point on", "point"]
    (line,) = outline.named("polyline")
    assert line["points"] is not None
    points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
    assert len(points) == 2
    assert points[0][0] < points[1][0]  # the slower one stands further right …
    assert points[0][1] > points[1][1]  # … and higher, where y counts from the top


def test_every_difference_has_its_bar_inside_of_the_drawing(page: str) -> None:
    bars = Outline(page).named("rect")
    assert bars
    for bar in bars:
        x, y, width, height = (float(bar[name] or "") for name in ("x", "y", "width", "height"))
        assert 64 <= x < x + width <= 736.1
        assert 27.9 <= y < y + height <= 144.1
    # slow wins 5 queries of fast; poor loses all 12; file loses 11 and wins q1.
    assert [bar["class"] for bar in bars].count("gain") == 5 + 0 + 1
    assert [bar["class"] for bar in bars].count("loss") == 0 + 12 + 11


@pytest.mark.parametrize("runs", [["slow"], ["slow", "slow"]])
def test_a_single_run_has_a_page_without_comparisons(runs: list[str]) -> None:
    found = report(runs)
    outline = Outline(render_html(found, compare_runs(found, "slow"), 3))
    assert "query by query" not in outline.text
    assert outline.named("circle") == []  # one point shows nothing


def test_runs_from_files_alone_have_a_page_without_times() -> None:
    found = report([], one={"q1": [("right", 1.0)]}, two={"q2": [("right", 1.0)]})
    outline = Outline(render_html(found, compare_runs(found, "one"), 3))
    assert outline.named("circle") == []
    assert "from a file" in outline.text
    assert "Where the time goes" not in outline.text


def test_a_run_whose_hits_have_a_relevance_has_its_diagram_with_a_disc_a_tenth() -> None:
    def ask(_text: str, _run: str, _k: int) -> Answer:
        return Answer(["right", "other"], 5.0, relevances=[0.9, 0.1], reranked=Reranked(20, 50))

    found = evaluate_runs("books", JUDGEMENTS, ["reranked"], ask)
    outline = Outline(render_html(found, {}, 3))
    discs = [circle for circle in outline.named("circle") if circle["class"] == "disc"]
    assert [disc["cy"] for disc in discs] == ["360.0", "28.0"]  # none relevant, all relevant
    assert "20.0 100.0 %" in outline.text  # every answer was cut short after 20
    assert "expected calibration error 0.1000" in outline.text
