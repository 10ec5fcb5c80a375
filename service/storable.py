"""Storable values: texts and JSON that Postgres can hold, and why others cannot be held."""

import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator

#: Bytes of UTF-8 that a document's id may have: it stands in unique indexes, whose entries Postgres
#: limits to about 2,700 bytes.
MAX_ID_BYTES: Final = 1024
_SHOWN_CHARACTERS: Final = 60
_MAX_DEPTH: Final = 100


class UnstorableError(ValueError):
    """A value that cannot be held; says of which field, what is wrong with it, and the mend."""

    def __init__(self, field: str, wrong: str, mend: str) -> None:
        self.field = field
        self.wrong = wrong
        self.mend = mend
        super().__init__(f"{field}: {wrong}; {mend}")


def storable_text(field: str, value: object) -> str:
    """Return a value that is text which Postgres can store, or raise UnstorableError."""
    if not isinstance(value, str):
        raise UnstorableError(field, f"{shown(value)} is {kind(value)}", "make it a string")
    if "\0" in value:
        raise UnstorableError(
            field, f"{shown(value)} has a NUL character, which Postgres cannot store", "remove it"
        )
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise UnstorableError(
                field,
                f"{shown(value)} has half a surrogate pair (at character {error.start}), "
                "which is no text",
                "write it as UTF-8",
            ) from None
    return value


def storable_object(values: dict[str, Any]) -> dict[str, Any]:
    """Return an object that jsonb can hold, or raise UnstorableError."""
    check_object("", values)
    return values


#: Text and JSON from outside, checked where pydantic reads them.
Text = Annotated[str, AfterValidator(lambda value: storable_text("", value))]
JsonObject = Annotated[dict[str, Any], AfterValidator(storable_object)]


def storable_id(field: str, value: object) -> str:
    """Return a value that can be a document's id, or raise UnstorableError."""
    identity = storable_text(field, value)
    if not identity.strip():
        raise UnstorableError(field, "empty", "every document needs an id")
    if len(identity.encode()) > MAX_ID_BYTES:
        raise UnstorableError(
            field, f"{shown(identity)} is longer than {MAX_ID_BYTES:,} bytes", "shorten it"
        )
    return identity


def check_object(path: str, values: dict[str, Any]) -> None:
    """Raise UnstorableError where jsonb could not hold an object, however deep the reason lies.

    Names of fields are reported with ``path`` before them, unless that is empty.
    """
    for name, value in values.items():
        _check_json(f"{path}.{name}" if path else name, value, 1)
        storable_text("field name", name)


def _check_json(path: str, value: Any, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise UnstorableError(path[:_SHOWN_CHARACTERS], "nested too deep", "make it flatter")
    if isinstance(value, str):
        storable_text(path, value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise UnstorableError(path, f"{value} is no JSON number", "leave it out or use null")
    elif isinstance(value, dict):
        for name, part in value.items():
            storable_text(f"{path}.{name}", name)
            _check_json(f"{path}.{name}", part, depth + 1)
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check_json(f"{path}[{index}]", part, depth + 1)
    elif value is not None and not isinstance(value, bool | int):
        raise UnstorableError(
            path, f"{shown(value)} is {kind(value)}, which JSON cannot hold", "leave it out"
        )


def shown(value: object) -> str:
    """Return a value for a message: quoted, on one line, shortened."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "\u2026"


def kind(value: object) -> str:
    """Return what sort of value this is, as JSON names it."""
    names = {bool: "a boolean", int: "a number", float: "a number", list: "a list"}
    names |= {dict: "an object", type(None): "null", bytes: "binary data"}
    return names.get(type(value), f"a {type(value).__name__}")
