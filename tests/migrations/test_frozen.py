"""SQL that a database somewhere has run never changes."""

from tests.migrations.freeze import checksums, frozen

EDITED = (
    "this SQL file is frozen: databases that ran it will not run it again. Put the new text into "
    "the next version (name_v2.sql), install it in a new revision, and let the public name call "
    "it. Only if no release holds the file yet: make freeze"
)
MISSING = "a file that revisions run must stay: databases older than its revision need it"
NEW = "this SQL file is not frozen yet: make freeze"


def test_no_frozen_file_was_edited() -> None:
    now = checksums()
    edited = [name for name, checksum in frozen().items() if now.get(name, checksum) != checksum]
    assert edited == [], EDITED


def test_no_frozen_file_is_gone() -> None:
    assert sorted(frozen().keys() - checksums().keys()) == [], MISSING


def test_every_file_is_frozen() -> None:
    assert sorted(checksums().keys() - frozen().keys()) == [], NEW


def test_functions_and_tables_are_among_the_frozen() -> None:
    assert {"functions/search_candidates_v1.sql", "versions/0001_pre_create_tables.sql"} <= set(
        frozen()
    )
