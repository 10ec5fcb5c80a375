"""What can be set or typed is documented, and the documentation names nothing that is not there."""

import re
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from service.cli import app
from service.settings import Settings
from service.settings_page import settings_page
from tests.repo.repository import ROOT, relative, repository_files

PAGES = {
    relative(path): path.read_text(encoding="utf-8")
    for path in repository_files()
    if path.suffix == ".md" and relative(path).split("/")[0] not in {"workers", "tests"}
}


def commands(command: Any, path: str) -> dict[str, Any]:
    """Return every command that does something, by what is typed to reach it."""
    if isinstance(command, TyperGroup):
        found: dict[str, Any] = {}
        for name, child in command.commands.items():
            found |= commands(child, f"{path} {name}")
        return found
    return {path: command}


COMMANDS = commands(typer.main.get_command(app), "rankgres")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    assert (Settings.model_fields[name].description or "").endswith(".")


def test_the_settings_page_is_what_make_settings_page_writes() -> None:
    assert (ROOT / "docs/settings.md").read_text(encoding="utf-8") == settings_page()


def test_pages_name_only_settings_that_exist() -> None:
    known = {f"RANKGRES_{name.upper()}" for name in Settings.model_fields}
    unknown = {
        f"{page}: {variable}"
        for page, text in PAGES.items()
        for variable in re.findall(r"\bRANKGRES_[A-Z][A-Z_]*[A-Z]\b", text)
        if variable not in known
    }
    assert unknown == set()


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_argument_and_option_has_help(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    silent = [
        parameter.name for parameter in command.params if not getattr(parameter, "help", None)
    ]
    assert silent == []


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_is_named_in_the_readme_or_docs(path: str) -> None:
    assert [page for page, text in PAGES.items() if re.search(rf"\b{path}\b", text)]


def test_links_between_pages_lead_to_files() -> None:
    broken = [
        f"{page}: {target}"
        for page, text in PAGES.items()
        for target in re.findall(r"\]\(([^)#\s]+)", text)
        if "://" not in target and not (ROOT / page).parent.joinpath(target).exists()
    ]
    assert broken == []
