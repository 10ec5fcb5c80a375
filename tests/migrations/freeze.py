"""Prints the checksum of every SQL file that revisions run: ``make freeze``.

``migrations/functions/frozen.txt`` is that list. A database somewhere has run these files: what
they say must never change, so a change is a new file. Freezing anew is right only before a release.
"""

import sys
from hashlib import sha256
from pathlib import Path

MIGRATIONS = Path(__file__).parents[2] / "migrations"
FROZEN = MIGRATIONS / "functions" / "frozen.txt"


def checksums() -> dict[str, str]:
    """Return the SHA-256 of each SQL file below functions/ and versions/, by its path there."""
    files = sorted([*MIGRATIONS.glob("functions/*.sql"), *MIGRATIONS.glob("versions/*.sql")])
    return {
        path.relative_to(MIGRATIONS).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def frozen() -> dict[str, str]:
    """Return the checksums as they were frozen."""
    lines = FROZEN.read_text(encoding="utf-8").splitlines()
    return {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}


def main() -> None:
    """Print one line a file, as sha256sum does."""
    for name, checksum in checksums().items():
        sys.stdout.write(f"{checksum}  {name}\n")


if __name__ == "__main__":
    main()
