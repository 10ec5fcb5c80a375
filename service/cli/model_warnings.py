"""Prints what keeps a collection's embeddings from being as good as they could be."""

from rich.markup import escape

from service.cli.terminal import error_console
from service.collections.collection import Generation
from service.collections.model_warnings import model_warnings
from service.db.connection import Connection
from service.errors import RankgresError
from service.local.endpoints import redis_url
from service.settings import Settings


def print_model_warnings(
    connection: Connection, generation: Generation, settings: Settings
) -> None:
    """Print a line for each warning; those of workers only while Redis can be reached."""
    try:
        url = redis_url(settings)
    except RankgresError:
        url = None
    for warning in model_warnings(connection, generation, url, settings):
        error_console.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
