"""The tables of ``rankgres eval``."""

from collections.abc import Mapping

from rich.markup import escape
from rich.table import Table

from service.evaluation.calibration import Reliability
from service.evaluation.comparison import LEADING, Comparison
from service.evaluation.evaluation import EvaluationReport, Percentiles
from service.evaluation.metrics import MEASURES

#: Below it, a difference is called one.
_SIGNIFICANT = 0.05
_TEXT_SHOWN = 60
#: Milliseconds from which tenths say nothing.
_COARSE = 100


def runs_table(report: EvaluationReport) -> Table:
    """Return one row a run, the best of each metric in bold."""
    table = _table(f"{report.collection}: {report.queries} queries")
    table.add_column("run")
    for heading in (*MEASURES, "p50 ms", "p95 ms", "p99 ms", "degraded"):
        table.add_column(heading, justify="right")
    best = {name: max(run.metrics[name] for run in report.runs.values()) for name in MEASURES}
    for name, run in report.runs.items():
        figures = [
            f"[bold]{run.metrics[metric]:.4f}[/]"
            if run.metrics[metric] == best[metric]
            else f"{run.metrics[metric]:.4f}"
            for metric in MEASURES
        ]
        times = [f"{value:.1f}" for value in run.times] if run.times else [""] * 3
        degraded = f"[red]{run.degraded}[/]" if run.degraded else "0"
        table.add_row(name, *figures, *times, degraded)
    return table


def comparison_table(comparisons: Mapping[str, Comparison]) -> Table:
    """Return one row a run: differences of the means with p-values, wins, losses and ties."""
    baseline = next(iter(comparisons.values())).baseline
    table = _table(f"less {baseline} (p by randomisation, Holm-corrected)")
    table.add_column("run")
    for heading in (*MEASURES, f"won / lost / tied by {LEADING}"):
        table.add_column(heading, justify="right")
    for name, comparison in comparisons.items():
        cells = []
        for difference in comparison.measures.values():
            cell = f"{difference.mean:+.4f} (p {difference.p_holm:.4f})"
            cells.append(f"[bold]{cell}[/]" if difference.p_holm < _SIGNIFICANT else cell)
        leading = comparison.measures[LEADING]
        table.add_row(name, *cells, f"{leading.wins} / {leading.losses} / {leading.ties}")
    return table


def stages_table(report: EvaluationReport) -> Table:
    """Return one row a stage: percentiles of its milliseconds in every run that was asked."""
    timed = {name: run.stages for name, run in report.runs.items() if run.stages}
    table = _table("milliseconds of each stage, p50 / p95 / p99")
    table.add_column("stage")
    for name in timed:
        table.add_column(name, justify="right")
    for stage in dict.fromkeys(stage for stages in timed.values() for stage in stages):
        table.add_row(stage, *(_cell(stages.get(stage)) for stages in timed.values()))
    return table


def reranking_table(report: EvaluationReport) -> Table:
    """Return one row a reranked run: how deep, how often cut short, how true its relevances are."""
    table = _table("reranking")
    table.add_column("run")
    for heading in ("mean depth", "partial", "Brier", "calibration error"):
        table.add_column(heading, justify="right")
    for name, run in report.runs.items():
        if run.depth:
            true = run.reliability
            figures = (f"{true.brier:.4f}", f"{true.calibration_error:.4f}") if true else ("", "")
            table.add_row(name, f"{run.depth.mean:.1f}", f"{run.depth.partial_share:.1%}", *figures)
    return table


def relevance_table(title: str, reliability: Reliability) -> Table:
    """Return one row a tenth of relevance: how many hits, and how many of them were relevant."""
    table = _table(f"{title}: relevance, and the share of hits that are relevant")
    for heading in ("relevance", "hits", "mean", "relevant"):
        table.add_column(heading, justify="right")
    for each in reliability.bins:
        table.add_row(
            f"{each.least:.1f} to {each.most:.1f}",
            f"{each.hits:,}",
            f"{each.mean_relevance:.3f}",
            f"{each.share_relevant:.3f}",
        )
    return table


def differences_table(comparison: Comparison, report: EvaluationReport, count: int) -> Table:
    """Return the queries that differ most from the baseline."""
    table = _table(f"{LEADING}: where {comparison.run} and {comparison.baseline} differ most")
    table.add_column("query")
    table.add_column("", overflow="fold")
    for heading in (comparison.run, comparison.baseline, "difference"):
        table.add_column(heading, justify="right")
    for query in comparison.largest(count):
        text = report.judgements.queries[query.query]
        shown = text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"
        table.add_row(
            escape(query.query),
            escape(shown),
            f"{query.run:.4f}",
            f"{query.baseline:.4f}",
            f"{query.difference:+.4f}",
        )
    return table


def _cell(times: Percentiles | None) -> str:
    return "" if times is None else " / ".join(_milliseconds(value) for value in times)


def _milliseconds(value: float) -> str:
    return f"{value:.1f}" if value < _COARSE else f"{value:.0f}"


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left")
