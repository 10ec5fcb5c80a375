"""The container files agree with the command line, the settings and each other."""

import re
from functools import cache
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import Any

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # one call: not worth a package of stubs
from typer.core import TyperGroup

from service.cli import app
from service.settings import Settings
from tests.repo.repository import ROOT

COMPOSE = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / ".env.example").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]

#: ``${NAME}`` with a default or an error after it, as Compose interpolates.
USED = set(re.findall(r"\$\{([A-Z_]+)[^}]*\}", COMPOSE))
DOCUMENTED = dict(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=(.*)$", ENVIRONMENT, flags=re.MULTILINE))
#: The image that each stage of the Dockerfile starts from.
STAGES = {
    stage: start
    for start, stage in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
}
CPU_AND_GPU = ["rerank-cpu", "rerank-gpu"]


def rankgres_commands() -> list[list[str]]:
    """Return every ``rankgres`` command line of both files, its health checks included."""
    lists = re.findall(r"\[(\"[^\]]+\")\]", COMPOSE + DOCKERFILE)
    words = [re.findall(r'"([^"]*)"', text) for text in lists]
    found = [line[1:] if line[0] in {"CMD", "CMD-SHELL"} else line for line in words]
    return [line[1:] for line in found if line[:1] == ["rankgres"]]


@cache
def command_line() -> Any:
    return typer.main.get_command(app)


def test_the_parts_of_the_design_are_all_there() -> None:
    assert set(SERVICES) == {
        "postgres", "redis", "migrate", "service", "relay", "embed", "encode", *CPU_AND_GPU
    }  # fmt: skip


def test_every_variable_used_is_documented_with_the_default_it_has() -> None:
    assert set(DOCUMENTED) >= USED
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE))
    assert {name: DOCUMENTED[name] for name in defaults} == defaults


def test_every_variable_documented_is_used() -> None:
    settings = {f"RANKGRES_{name.upper()}" for name in Settings.model_fields}
    assert set(DOCUMENTED) - USED - settings == {"COMPOSE_PROFILES"}


def test_settings_are_documented_with_the_default_they_have() -> None:
    shown = {name: value for name, value in DOCUMENTED.items() if name.startswith("RANKGRES_")}
    assert shown == {
        name: str(Settings.model_fields[name.removeprefix("RANKGRES_").lower()].default)
        for name in shown
    }


def test_settings_given_to_containers_exist() -> None:
    given = set(re.findall(r"\b(RANKGRES_[A-Z_]+)[:=]", COMPOSE + DOCKERFILE))
    assert given
    assert given <= {f"RANKGRES_{name.upper()}" for name in Settings.model_fields}


def test_the_password_is_required_and_has_no_default() -> None:
    assert COMPOSE.count("${POSTGRES_PASSWORD:?") == COMPOSE.count("${POSTGRES_PASSWORD") > 0
    assert DOCUMENTED["POSTGRES_PASSWORD"] == ""


@pytest.mark.parametrize("words", rankgres_commands(), ids=" ".join)
def test_every_command_exists_and_takes_its_options(words: list[str]) -> None:
    command, rest = command_line(), words
    while isinstance(command, TyperGroup):
        assert rest[0] in command.commands
        command, rest = command.commands[rest[0]], rest[1:]
    command.make_context("rankgres", list(rest))  # parses, and runs nothing


@pytest.mark.parametrize("module", re.findall(r"python -m ((?:service|workers)\S+)", DOCKERFILE))
def test_every_module_that_the_build_runs_exists(module: str) -> None:
    assert find_spec(module)


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned(name: str) -> None:
    tag = SERVICES[name]["image"].partition(":")[2]
    assert re.match(r"\d+\.\d+\.\d+", tag)


def test_base_images_are_pinned_to_a_minor_version() -> None:
    bases = set(STAGES.values()) - set(STAGES)
    assert bases
    assert all(re.search(r":\d+\.\d+", base) for base in bases)


def test_our_images_carry_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    tags = {
        service["image"].partition(":")[2] for service in SERVICES.values() if "build" in service
    }
    assert tags == {version[1]}


@pytest.mark.parametrize("name", SERVICES)
def test_every_target_is_a_stage_of_the_dockerfile(name: str) -> None:
    build = SERVICES[name].get("build")
    if build:
        assert build["target"] in STAGES


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_every_long_running_part_is_checked_and_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_part_waits_for_can_come_true(name: str) -> None:
    for other, wait in SERVICES[name].get("depends_on", {}).items():
        once = other == "migrate"
        expected = "service_completed_successfully" if once else "service_healthy"
        assert wait["condition"] == expected


def test_only_the_service_and_postgres_are_published_and_on_this_machine_alone() -> None:
    ports = {name: part["ports"] for name, part in SERVICES.items() if "ports" in part}
    assert set(ports) == {"service", "postgres"}
    assert all("ADDRESS:-127.0.0.1}:" in port for published in ports.values() for port in published)


def test_shared_memory_holds_a_parallel_index_build() -> None:
    megabytes = {"mb": 1, "gb": 1024}
    sizes = {
        name: int(DOCUMENTED[name][:-2]) * megabytes[DOCUMENTED[name][-2:].lower()]
        for name in ("POSTGRES_SHM_SIZE", "POSTGRES_MAINTENANCE_WORK_MEM")
    }
    assert sizes["POSTGRES_SHM_SIZE"] > sizes["POSTGRES_MAINTENANCE_WORK_MEM"]


def test_the_data_of_postgres_18_lies_in_the_volume() -> None:
    assert "-pg18" in SERVICES["postgres"]["image"]
    assert SERVICES["postgres"]["volumes"] == ["database:/var/lib/postgresql"]


def test_reranking_runs_on_one_of_two_profiles() -> None:
    profiles = {name: part["profiles"] for name, part in SERVICES.items() if "profiles" in part}
    assert profiles == {"rerank-cpu": ["cpu"], "rerank-gpu": ["gpu"]}
    [device] = SERVICES["rerank-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
    assert DOCUMENTED["COMPOSE_PROFILES"] in {"cpu", "gpu"}


def test_containers_run_as_an_ordinary_user() -> None:
    for target in {part["build"]["target"] for part in SERVICES.values() if "build" in part}:
        stage = DOCKERFILE.split(f" AS {target}\n")[1].split("\nFROM ")[0]
        assert "\nUSER rankgres\n" in stage


def test_the_build_sees_every_file_that_the_dockerfile_copies() -> None:
    copied = re.findall(r"^COPY (?!--|<<)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)
    names = {name for sources in copied for name in sources.split()}
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert names == set(allowed)
    assert all((ROOT / PurePosixPath(name)).exists() for name in names)
