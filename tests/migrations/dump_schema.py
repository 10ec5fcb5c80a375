"""Prints the schema that the migrations make, as pg_dump writes it: ``make schema-dump``.

``migrations/schema.sql`` is that text. Nothing runs it: it shows a reviewer what changes.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from service.local.postgres import binary_folder
from tests.support.databases import DatabaseServer

GOLDEN = Path(__file__).parents[2] / "migrations" / "schema.sql"
#: The version whose dump is kept.
VERSION = 18
HEADING = f"-- What the migrations make, on Postgres {VERSION}. Written by: make schema-dump\n"

#: Lines that tell of the servers, of the session, or of nothing.
_NOISE = re.compile(
    r"^(?:--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(?:un)?restrict .*)\n", re.MULTILINE
)


def dump_schema(url: str, version: int) -> str:
    """Return the schema ``rankgres`` of a database as SQL, without what changes from run to run."""
    dumped = subprocess.run(
        [
            str(binary_folder(version) / "pg_dump"),
            "--schema-only",
            "--schema=rankgres",
            "--no-owner",
            "--no-privileges",
            f"--dbname={url}",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return HEADING + re.sub(r"\n{2,}", "\n\n", _NOISE.sub("", dumped)).strip() + "\n"


def main() -> None:
    """Migrate an empty database and print its schema."""
    with tempfile.TemporaryDirectory() as folder:
        server = DatabaseServer(Path(folder), VERSION)
        try:
            with server.clone() as url:
                sys.stdout.write(dump_schema(url, VERSION))
        finally:
            server.stop()


if __name__ == "__main__":
    main()
