"""The repository as its tests see it: what git tracks, and what it would if it were added."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def repository_files() -> tuple[Path, ...]:
    """Return every file that is tracked, or neither tracked nor ignored, and still there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in paths if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """Return the Python files below the folders, or all of them where none is named."""
    return [
        path
        for path in repository_files()
        if path.suffix == ".py" and (not folders or relative(path).split("/")[0] in folders)
    ]


def relative(path: Path) -> str:
    """Return a path as git writes it."""
    return path.relative_to(ROOT).as_posix()
