"""The command ``rankgres``: one file a group of commands."""

import sys

import typer
from rich.markup import escape

from service.cli import (
    attach,
    calibrate,
    collections,
    dead,
    demo,
    doctor,
    evaluate,
    ingest,
    models,
    processes,
    profile,
    recall,
    search,
    stack,
    suggest,
    train,
    tune,
    verify,
)
from service.cli.terminal import error_console
from service.db.driver_errors import translated
from service.errors import RankgresError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="""Two-stage hybrid search inside the Postgres you already have.

    Start with **rankgres up**, then **rankgres collection create NAME**, **rankgres ingest NAME
    FILE** and **rankgres search NAME "a question"**; or **rankgres attach NAME TABLE** a table that
    you have. **rankgres demo** shows all of it at once.
    Settings are environment variables that begin with RANKGRES_; docs/settings.md lists them.
    """,
)
app.command(rich_help_panel="The stack on this machine")(stack.up)
app.command(rich_help_panel="The stack on this machine")(stack.down)
app.command(rich_help_panel="The stack on this machine")(stack.status)
app.command(rich_help_panel="The stack on this machine")(doctor.doctor)
app.command(rich_help_panel="The stack on this machine")(demo.demo)
collections.app.command()(profile.profile)
app.add_typer(collections.app, name="collection", rich_help_panel="Collections")
app.command(rich_help_panel="Collections")(ingest.ingest)
app.command(rich_help_panel="Collections")(ingest.wait)
app.command(rich_help_panel="Collections")(search.search)
app.command(rich_help_panel="Your own tables")(attach.attach)
app.command(rich_help_panel="Your own tables")(attach.detach)
app.command(rich_help_panel="Trust")(verify.verify)
app.command(rich_help_panel="Trust")(dead.dead)
app.command(rich_help_panel="Trust")(dead.retry)
app.command(rich_help_panel="Trust")(attach.pause)
app.command(rich_help_panel="Trust")(attach.resume)
app.command(rich_help_panel="Collections")(suggest.suggest)
app.command("eval", rich_help_panel="Collections")(evaluate.evaluate)
app.command(rich_help_panel="Collections")(tune.tune)
app.command(rich_help_panel="Collections")(calibrate.calibrate)
app.command(rich_help_panel="Collections")(recall.recall)
app.add_typer(models.app, name="model", rich_help_panel="Models")
app.add_typer(train.app, name="train", rich_help_panel="Collections")
app.command(rich_help_panel="Processes, one by one")(processes.migrate)
app.command(rich_help_panel="Processes, one by one")(processes.serve)
app.command(rich_help_panel="Processes, one by one")(processes.worker)
app.command(rich_help_panel="Processes, one by one")(processes.relay)


def main() -> None:
    """Run the command line; an error of ours is printed with its mend, and ends it with 2."""
    try:
        with translated():
            app()
    except RankgresError as error:
        error_console.print(f"[red]error:[/red] {escape(error.detail)}", soft_wrap=True)
        if error.mend:
            error_console.print(f"[yellow] mend:[/yellow] {escape(error.mend)}", soft_wrap=True)
        sys.exit(2)
