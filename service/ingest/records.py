"""Records: one document each, checked so that Postgres takes it, or the reason why not."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from service.errors import InvalidInputError
from service.storable import check_object, storable_id, storable_text

#: Names under which the fields are found by themselves, tried in this order.
ID_NAMES: Final = ("_id", "id")
TITLE_NAMES: Final = ("title",)
TEXT_NAMES: Final = ("text", "body", "content")
#: BEIR keeps further fields in an object of this name; they are lifted out of it.
_METADATA: Final = "metadata"


@dataclass(frozen=True, slots=True)
class Fields:
    """Names of the fields to read; None: found by themselves, by the usual names."""

    id: str | None = None
    title: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """A document to be indexed, and where it stood; ``metadata`` is plain JSON."""

    line: int
    source: str
    id: str
    title: str
    text: str
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reject:
    """A line that is no document: ``reason`` names field, value and mend."""

    source: str
    line: int
    reason: str
    raw: str


class UnreadableError(ValueError):
    """A line that cannot become a record; its message is the reason of the reject."""


def build_record(values: Mapping[str, Any], fields: Fields, source: str, line: int) -> Record:
    """Make a record of a line's fields; every field that is not id, title or text is metadata.

    Raises:
        UnreadableError: a field is missing, or all text is.
        UnstorableError: a field is of the wrong type, or holds what Postgres cannot.
    """
    id_name = find_name(values, fields.id, ID_NAMES)
    title_name = find_name(values, fields.title, TITLE_NAMES)
    text_name = find_name(values, fields.text, TEXT_NAMES)
    title = _title(values, title_name)
    text = _text(values, text_name, fields)
    if not text.strip() and not title.strip():
        raise UnreadableError(f"{text_name}: empty, and so is the title; give it some text")
    taken = {id_name, title_name, text_name}
    return Record(
        line=line,
        source=source,
        id=_identity(values, id_name, fields),
        title=title,
        text=text,
        metadata=_metadata({name: values[name] for name in values if name not in taken}),
    )


def find_name(names: Iterable[str], given: str | None, usual: tuple[str, ...]) -> str | None:
    """Return the name of a field among those present; one that was given is the only choice."""
    present = set(names)
    return next((name for name in (usual if given is None else (given,)) if name in present), None)


def require_fields(available: Iterable[str], fields: Fields, source: str) -> None:
    """Refuse a whole file that lacks a field that was named, or that every record needs.

    Raises:
        InvalidInputError: names the missing field and those that are there.
    """
    names = sorted(set(available))
    wanted = (("id", fields.id, ID_NAMES), ("text", fields.text, TEXT_NAMES))
    for role, given, usual in wanted:
        if given is None and find_name(names, given, usual) is None:
            raise InvalidInputError(
                f"{source} has no field named {' or '.join(usual)}; it has: {_listed(names)}",
                field=f"{role}_field",
                mend=f"say which one is the {role}, with --{role}-field",
            )
    require_named_fields(names, fields, source)


def require_named_fields(available: Iterable[str], fields: Fields, source: str) -> None:
    """Refuse a whole file that lacks a field that was named.

    Raises:
        InvalidInputError: names the missing field and those that are there.
    """
    names = sorted(set(available))
    for role, given in (("id", fields.id), ("title", fields.title), ("text", fields.text)):
        if given is not None and given not in names:
            raise InvalidInputError(
                f"{source} has no field {given!r}; it has: {_listed(names)}",
                field=f"{role}_field",
                value=given,
                mend=f"give one of these to --{role}-field",
            )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "no field at all"


def _identity(values: Mapping[str, Any], name: str | None, fields: Fields) -> str:
    """Return the id as text; whole numbers are taken too."""
    if name is None:
        raise UnreadableError(f"{fields.id or ID_NAMES[0]}: missing; every document needs an id")
    value = values[name]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return storable_id(name, value)


def _title(values: Mapping[str, Any], name: str | None) -> str:
    if name is None or values[name] is None:
        return ""
    return storable_text(name, values[name])


def _text(values: Mapping[str, Any], name: str | None, fields: Fields) -> str:
    if name is None or values[name] is None:
        missing = name or fields.text or TEXT_NAMES[0]
        raise UnreadableError(f"{missing}: missing; every document needs a text")
    return storable_text(name, values[name])


def _metadata(values: dict[str, Any]) -> dict[str, Any]:
    """Check the remaining fields and lift out BEIR's metadata; a record's own field wins."""
    inner = values.get(_METADATA)
    if isinstance(inner, dict):
        del values[_METADATA]
        values = inner | values
    check_object("", values)
    return values
