"""The page that travels with a trained model: what it is, what it learnt from, how good it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from workers.training.held_out import Difference

PAGE: Final = "README.md"
#: What the model that is used now is called among the baselines.
CURRENT: Final = "the current model"


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the evaluation: an order of the held-out lists, and what it wins.

    ``against`` has the difference to each baseline, by the baseline's name.
    """

    name: str
    ndcg: float
    against: Mapping[str, Difference]

    def as_json(self) -> dict[str, Any]:
        """Return it rounded to what it can bear."""
        return {
            "order": self.name,
            "nDCG@10": round(self.ndcg, 5),
            "against": {name: each.as_json() for name, each in self.against.items()},
        }


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the training data came from: lines of text, a count each, and the licences given."""

    sources: Sequence[str]
    counts: Mapping[str, int]
    license: str
    data_licenses: Sequence[str]


class Subject(Protocol):
    """The model that a page is of."""

    @property
    def folder(self) -> Path:
        """Return the model's folder."""

    @property
    def title(self) -> str:
        """Return what it is called."""

    @property
    def provenance(self) -> Provenance:
        """Return where the training data came from."""

    @property
    def command(self) -> str:
        """Return the command that made it."""


def write_model_card(
    subject: Subject, recipe: Mapping[str, Any], figures: Sequence[Figure], measured: str
) -> None:
    """Write the page into the model's folder."""
    sections = [
        _front(recipe, subject.provenance),
        f"# {subject.title}\n\n{_what(recipe)}",
        _data(subject.provenance),
        _figures(figures, measured),
        f"## How it was made\n\n```\n{subject.command}\n```",
        _table(("value", "was"), sorted(recipe.items())),
    ]
    (subject.folder / PAGE).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _front(recipe: Mapping[str, Any], provenance: Provenance) -> str:
    task = "text-ranking" if recipe["kind"] == "reranker" else "sentence-similarity"
    lines = [f"base_model: {recipe['base']}", "library_name: sentence-transformers",
             f"pipeline_tag: {task}"]  # fmt: skip
    if provenance.license:
        lines.insert(0, f"license: {provenance.license.lower()}")
    return "\n".join(["---", *lines, "---"])


def _what(recipe: Mapping[str, Any]) -> str:
    kind = "A cross-encoder" if recipe["kind"] == "reranker" else "A bi-encoder"
    layers = recipe["layers"]
    cut = f"the first {f'{layers} layers' if layers > 1 else 'layer'} of " if layers else ""
    reads = (
        "It scores a query and a passage, `heading. text`, together"
        if recipe["kind"] == "reranker"
        else "It embeds a text"
    )
    return (
        f"{kind}, made from {cut}{recipe['base']} by `rankgres train {recipe['kind']}`. "
        f"{reads}; it reads {recipe['max_tokens']} tokens."
    )


def _data(provenance: Provenance) -> str:
    lines = ["## What it learnt from", ""]
    lines += [f"- {source}" for source in provenance.sources]
    lines += [f"- {count:,} {what}" for what, count in provenance.counts.items()]
    lines.append(f"- Licence of the model: {provenance.license or 'not given'}")
    licenses = ", ".join(provenance.data_licenses) or "not given; ask whoever trained it"
    lines.append(f"- Licences of the data: {licenses}")
    return "\n".join(lines)


def _figures(figures: Sequence[Figure], measured: str) -> str:
    if not figures:
        return f"## How good it is\n\n{measured}"
    baselines = list(dict.fromkeys(name for figure in figures for name in figure.against))
    heading = ["order", "nDCG@10"]
    for baseline in baselines:
        heading += [f"against {baseline}", "p", "first result better, worse"]
    rows = []
    for figure in figures:
        row: list[Any] = [figure.name, f"{figure.ndcg:.4f}"]
        for baseline in baselines:
            found = figure.against.get(baseline)
            cells = ["", "", ""]
            if found is not None:
                firsts = f"{found.firsts_better}, {found.firsts_worse}"
                cells = [f"{found.gain:+.4f}", f"{found.p:.4f}", firsts]
            row += cells
        rows.append(row)
    return f"## How good it is\n\n{measured}\n\n{_table(heading, rows)}"


def _table(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
