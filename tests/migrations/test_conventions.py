"""Names, headings and pinned search paths of what the migrations hold and install."""

import re
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from service.db.connection import Connection
from service.db.migration import _config, newest_revision
from tests.migrations.freeze import MIGRATIONS

FUNCTION_FILES = sorted((MIGRATIONS / "functions").glob("*.sql"))
REVISION_FILES = sorted((MIGRATIONS / "versions").glob("*.py"))

#: A new version stands behind the same public name.
PUBLIC = {
    "attach", "detach", "facet_counts", "pause", "resume", "retry", "search_candidates", "suggest",
    "verify",
}  # fmt: skip
#: Functions without a pinned search_path, each with the reason.
UNPINNED = {
    "search_candidates": "calls one function by its full name; a setting would cost every search",
    "facet_counts": "calls one function by its full name",
    "suggest": "calls one function by its full name",
    "retry": "calls one function by its full name",
    "verify": "calls one function by its full name",
    "attach": "names are looked up as the caller's search_path says",
    "detach": "calls one function by its full name",
    "pause": "calls one function by its full name",
    "resume": "calls one function by its full name",
    "milliseconds_v1": "inlined where it is called, which a setting would prevent",
    "lexemes_v1": "inlined where it is called, for every chunk that is written",
    "textsearch_word_v1": "called for every lexeme of a chunk that is written",
    "min_max_v1": "inlined where it is called, for every candidate",
    "score_scale_v1": "inlined where it is called, as are the three below it",
    "recency_v1": "inlined, for every candidate",
    "boost_v1": "inlined, for every candidate",
    "filter_number_v1": "inlined, for every candidate",
}
#: What runs with the rights of the schema's owner.
DEFINERS = {
    "document_to_outbox_v1",
    "source_register_v1",
    "detach_v1",
    "pause_v1",
    "resume_v1",
    "retry_v1",
    "verify_v1",
}
OBJECTS = {
    "chunk", "collection", "document", "filter", "generation", "outbox", "query", "search",
    "snippet", "statistics", "milliseconds", "min", "facet", "language", "lexemes", "lexical",
    "textsearch", "score", "fuse", "autocut", "recency", "boost", "parameter", "diversify",
    "edit", "lexeme", "suggest", "retry", "verify", "source", "backfill", "attach", "detach",
    "pause", "resume",
}  # fmt: skip


def created(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(r"^CREATE (?:OR REPLACE )?FUNCTION rankgres\.(\w+)", text, re.MULTILINE)


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=lambda path: path.stem)
def test_a_file_holds_the_function_it_is_named_after(path: Path) -> None:
    functions = created(path)
    assert functions[0] == path.stem
    assert set(functions[1:]) <= {re.sub(r"_v\d+$", "", path.stem)} & PUBLIC


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=lambda path: path.stem)
def test_a_function_is_named_after_its_object_and_version(path: Path) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*_v[1-9]\d*", path.stem)
    assert path.stem.split("_")[0] in OBJECTS


@pytest.mark.parametrize("path", FUNCTION_FILES, ids=lambda path: path.stem)
def test_a_heading_says_what_the_function_does(path: Path) -> None:
    heading = path.read_text(encoding="utf-8").split("CREATE ", 1)[0].splitlines()
    assert heading
    assert all(line.startswith("-- ") or line == "--" for line in heading)
    assert heading[0][3].isupper()
    assert heading[-1].rstrip(":").endswith(".")


@pytest.mark.parametrize("path", REVISION_FILES, ids=lambda path: path.stem)
def test_a_revision_is_named_by_number_phase_and_purpose(path: Path) -> None:
    assert re.fullmatch(r"\d{4}_(pre|post)_[a-z]+(_[a-z]+)*\.py", path.name)
    assert f'revision = "{path.name[:4]}"' in path.read_text(encoding="utf-8")


def test_revisions_are_one_line_in_the_order_of_their_names() -> None:
    script = ScriptDirectory.from_config(_config(None))
    numbers = [revision.revision for revision in script.walk_revisions()][::-1]
    assert numbers == [path.name[:4] for path in REVISION_FILES]
    assert newest_revision() == numbers[-1]


def test_every_sql_file_of_a_revision_is_run_by_it() -> None:
    for path in (MIGRATIONS / "versions").glob("*.sql"):
        revision = path.with_name(f"{path.name.split('.')[0]}.py")
        assert f'"versions/{path.name}"' in revision.read_text(encoding="utf-8")


def test_every_function_file_is_installed_or_superseded_and_nothing_else_is(
    connection: Connection,
) -> None:
    installed = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'rankgres'::regnamespace"
    ).fetchall()
    newest = {re.sub(r"_v\d+$", "", path.stem): path for path in FUNCTION_FILES}
    assert sorted(name for (name,) in installed) == sorted(
        name for path in newest.values() for name in created(path)
    )


def test_every_function_has_its_search_path_pinned(connection: Connection) -> None:
    unpinned = connection.execute(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'rankgres'::regnamespace "
        "AND NOT coalesce(array_to_string(proconfig, ','), '') LIKE '%search_path=pg_catalog%'"
    ).fetchall()
    assert {name for (name,) in unpinned} == set(UNPINNED)


def test_no_function_sets_what_takes_a_superuser_to_restore(connection: Connection) -> None:
    settings = connection.execute(
        "SELECT DISTINCT split_part(setting, '=', 1) FROM pg_proc, unnest(proconfig) AS setting "
        "WHERE pronamespace = 'rankgres'::regnamespace"
    ).fetchall()
    assert {name for (name,) in settings} == {
        "search_path", "plan_cache_mode", "row_security", "lock_timeout", "TimeZone", "DateStyle",
        "IntervalStyle", "extra_float_digits", "bytea_output",
    }  # fmt: skip


def test_what_runs_with_our_rights_sees_the_systems_schema_alone(connection: Connection) -> None:
    definers = connection.execute(
        "SELECT proname, proconfig FROM pg_proc "
        "WHERE pronamespace = 'rankgres'::regnamespace AND prosecdef"
    ).fetchall()
    assert {name for name, _ in definers} == DEFINERS
    assert all(settings == ["search_path=pg_catalog, pg_temp"] for _, settings in definers)


def test_every_check_constraint_has_a_mend(connection: Connection) -> None:
    from service.db.driver_errors import _LIMITS

    checks = connection.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' "
        "AND connamespace = 'rankgres'::regnamespace AND conname NOT LIKE '%state_check'"
    ).fetchall()
    assert {name for (name,) in checks} == set(_LIMITS)
