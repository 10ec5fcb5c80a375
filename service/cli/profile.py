"""The command that shows and changes a collection's search profile."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from service.cli.terminal import console
from service.collections.learned import (
    RerankProfile,
    parse_rerank_profile,
    read_rerank_profile,
    write_rerank_profile,
)
from service.collections.profile import (
    SearchProfile,
    parse_profile,
    read_profile,
    write_profile,
)
from service.db.connection import Connection, connect
from service.errors import InvalidInputError
from service.local.endpoints import database_url

#: Before the names of what reranking goes by; every other name is of the candidate stage.
RERANK = "rerank."
_DESCRIPTIONS = {name: field.description for name, field in SearchProfile.model_fields.items()} | {
    f"{RERANK}{name}": field.description for name, field in RerankProfile.model_fields.items()
}


def profile(
    name: Annotated[str, typer.Argument(help="Name of the collection.")],
    *,
    set_values: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Set a parameter: NAME=VALUE, objects as JSON; may be repeated."
        ),
    ] = None,
    unset: Annotated[
        list[str] | None,
        typer.Option(help="Give a parameter back its built-in value; may be repeated."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Unset all, before anything is set.")] = (
        False
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Show or change the parameters that searches of a collection use unless they say otherwise.

    Names that begin with rerank. are of the reranking: rerank.weight, rerank.feedback,
    rerank.candidates, and rerank.adaptive, the rules that 'rankgres tune --rerank' learned.

    Example: rankgres collection profile articles --set fusion=rrf --set lexical_weight=0.3
    """
    with connect(database_url()) as connection:
        before = _read(connection, name)
        values = {} if reset else dict(before)
        for parameter in unset or []:
            _require_parameter(parameter)
            values.pop(parameter, None)
        values |= dict(_parse(text) for text in set_values or [])
        after = _write(connection, name, before, values)
    if as_json:
        console.print_json(data=after)
    elif after:
        console.print(profile_table(after))
    else:
        console.print(f"{name} has nothing but built-in values")


def _read(connection: Connection, name: str) -> dict[str, Any]:
    """Return both profiles of a collection as one."""
    reranking = read_rerank_profile(connection, name).as_json()
    return read_profile(connection, name).as_json() | {
        f"{RERANK}{parameter}": value for parameter, value in reranking.items()
    }


def _write(
    connection: Connection, name: str, before: dict[str, Any], values: dict[str, Any]
) -> dict[str, Any]:
    """Write what changed of both profiles, and return them as one."""
    if values != before:
        reranking = parse_rerank_profile(
            {
                parameter.removeprefix(RERANK): value
                for parameter, value in values.items()
                if parameter.startswith(RERANK)
            }
        )
        searching = parse_profile(
            {
                parameter: value
                for parameter, value in values.items()
                if not parameter.startswith(RERANK)
            }
        )
        write_profile(connection, name, searching)
        write_rerank_profile(connection, name, reranking)
    return _read(connection, name)


def profile_table(values: dict[str, Any], before: dict[str, Any] | None = None) -> Table:
    """Return one row a parameter, beside what it was where ``before`` is given."""
    table = Table(box=None)
    table.add_column("parameter")
    if before is not None:
        table.add_column("before", justify="right")
    table.add_column("value" if before is None else "after", justify="right")
    table.add_column("", style="dim")
    for name, description in _DESCRIPTIONS.items():
        if name in values or name in (before or {}):
            old = [] if before is None else [_shown(before.get(name))]
            table.add_row(name, *old, _shown(values.get(name)), description or "")
    return table


def _shown(value: Any) -> str:
    if value is None:
        return "built-in"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _parse(text: str) -> tuple[str, Any]:
    """Return a parameter and its value: JSON where it is any, else text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidInputError(
            f"--set {text!r} has no value", field="set", value=text, mend="write NAME=VALUE"
        )
    # Of the parameters that are text, one looks like a number.
    if name == "match":
        return name, value
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _require_parameter(name: str) -> None:
    if name not in _DESCRIPTIONS:
        raise InvalidInputError(
            f"there is no parameter {name!r}",
            field="unset",
            value=name,
            mend=f"use one of {', '.join(_DESCRIPTIONS)}",
        )
