"""HTML report: an evaluation as one file that needs no network, in light and in dark."""

from collections.abc import Mapping
from pathlib import Path

from service.errors import RankgresError
from service.evaluation.comparison import LEADING, Comparison
from service.evaluation.evaluation import EvaluationReport
from service.evaluation.metrics import MEASURES
from service.evaluation.plots import Outcome, draw_bars, draw_reliability, draw_scatter

_TEMPLATE = "html_report.jinja"


def render_html(
    report: EvaluationReport, comparisons: Mapping[str, Comparison], queries_shown: int
) -> str:
    """Return the page: figures, gain against time, and every run's queries won and lost.

    Args:
        report: what was measured.
        comparisons: each run's comparison with the baseline, by the run's name.
        queries_shown: queries listed for each comparison, those that differ most.

    Raises:
        RankgresError: ``jinja2`` is not installed.
    """
    try:
        import jinja2
    except ImportError as error:
        raise RankgresError(
            "the report needs the package jinja2", mend="pip install 'rankgres[evaluate]'"
        ) from error

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        # Queries and ids are anybody's text.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    timed = [
        Outcome(name, run.times.p95, run.metrics[LEADING])
        for name, run in report.runs.items()
        if run.times
    ]
    return environment.get_template(_TEMPLATE).render(
        report=report,
        measures=list(MEASURES),
        leading=LEADING,
        best={name: max(run.metrics[name] for run in report.runs.values()) for name in MEASURES},
        stages=dict.fromkeys(stage for run in report.runs.values() for stage in run.stages),
        scatter=draw_scatter(timed) if len(timed) > 1 else None,
        comparisons=[
            (comparison, draw_bars(comparison), comparison.largest(queries_shown))
            for comparison in comparisons.values()
        ],
        relevances=[
            (name, run.reliability, draw_reliability(run.reliability))
            for name, run in report.runs.items()
            if run.reliability
        ],
        texts=report.judgements.queries,
    )
