"""Shows what attaching a relation found, and what it will cost."""

from rich.markup import escape
from rich.table import Table

from service.cli.amounts import duration, size
from service.sources.preflight import Preflight


def preflight_table(flight: Preflight) -> Table:
    """Return a table of what was found and measured, for a person to say yes or no to."""
    table = Table(box=None, show_header=False)
    for subject, told in (*_found(flight), *_costs(flight)):
        table.add_row(subject, told)
    return table


def _found(flight: Preflight) -> list[tuple[str, str]]:
    found = flight.found
    text = found.template or ", ".join(found.text_columns)
    followed = {
        "triggers": f"by triggers; compared every {found.compare_every}",
        "comparison": f"by comparison alone, every {found.compare_every}: it takes no triggers",
    }[found.sync]
    rows = [
        ("source", found.relation),
        ("key", ", ".join(found.key_columns)),
        ("title", found.title_column or "none"),
        ("text", text if found.text_format == "plain" else f"{text} ({found.text_format})"),
        ("filters", ", ".join(found.filter_columns) or "none"),
        ("where", found.condition or "every row"),
        ("followed", followed),
        ("rows shown", "to whom the table shows them" if found.row_security else "to every search"),
        ("model", f"{found.embedding_model}, chunks of {found.chunk_tokens} tokens"),
    ]
    return [(subject, escape(told)) for subject, told in rows]


def _costs(flight: Preflight) -> list[tuple[str, str]]:
    about = "" if flight.counted else "about "
    sample = (
        f"{flight.sampled:,} rows: {flight.split_share:.0%} are too long for one chunk and are cut "
        f"into several, {flight.empty_share:.0%} have no text"
    )
    if not flight.measured:
        sample += "; estimated from characters: no embedding worker answers"
    if flight.seconds is None or flight.chunks_per_second is None:
        time_taken = "not known without a worker; 'rankgres worker embed' starts one"
    else:
        workers = "1 worker" if flight.workers == 1 else f"{flight.workers} workers"
        rate = f"{flight.chunks_per_second:,.0f} chunks/s by {workers}"
        time_taken = f"about {duration(flight.seconds)} at {rate}"
    return [
        ("rows", f"{about}{flight.rows:,}"),
        ("sample", sample),
        ("chunks", f"about {flight.chunks:,}, {flight.tokens:,} tokens"),
        ("disk", f"about {size(flight.disk_bytes)}"),
        (
            "memory",
            f"about {size(flight.memory_bytes)} for the HNSW graph to be searched in memory",
        ),
        ("time", time_taken),
    ]
