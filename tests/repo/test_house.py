"""House rules that a linter does not know."""

import re
from pathlib import Path

import pytest

from tests.repo.repository import python_files, relative, repository_files

LONGEST_FILE = 400
GENERATED = {"migrations/schema.sql"}
#: Names that say nothing of what is inside.
EMPTY_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc"}
#: A machine's own folders, written so that this file does not hold what it looks for. The folder
#: for temporary files is on every machine; what lies in it is not.
MACHINE_PATH = re.compile(
    r"(?<![\w./~$}-])/(?:(?:work|root|home/\w+|Users/\w+)(?:/|\b(?![\w-]))|tmp/\w)"
)
REGISTRY_HOST = re.compile(
    r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|pypi\.nvidia\.com|docker\.io"
    r"|registry\.npmjs\.org|anaconda\.org|crates\.io|proxy\.golang\.org)\b"
)


def texts() -> list[tuple[str, str]]:
    """Return the name and the text of each file that is text; models and their parts are data."""
    found = []
    for path in repository_files():
        name = relative(path)
        if name.startswith("workers/models/") and path.suffix != ".md":
            continue
        try:
            found.append((name, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def places(pattern: re.Pattern[str]) -> list[str]:
    """Return ``file:line: text`` for each line of the repository that matches."""
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("suffix", [".py", ".sql"])
def test_no_file_is_too_long_to_read(suffix: str) -> None:
    long = {
        relative(path): lines
        for path in repository_files()
        if path.suffix == suffix and relative(path) not in GENERATED
        for lines in [len(path.read_text(encoding="utf-8").splitlines())]
        if lines > LONGEST_FILE
    }
    assert long == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = [
        relative(path)
        for path in python_files()
        if EMPTY_NAMES & {*Path(relative(path)).parent.parts, path.stem}
    ]
    assert empty == []


def test_no_file_names_a_package_registry() -> None:
    assert places(REGISTRY_HOST) == []


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert places(MACHINE_PATH) == []


@pytest.mark.parametrize(
    "line", ["cd /" + "work/main", '"/' + 'root/.cache"', "see /" + "tmp/x.log", "in /" + "work."]
)
def test_the_rule_sees_a_machines_folder(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize(
    "line", ["a/work/b", "./work", "$HOME/tmp/x", "/workers/", "n/work", '"/tmp"']
)
def test_the_rule_leaves_other_paths_alone(line: str) -> None:
    assert not MACHINE_PATH.search(line)
