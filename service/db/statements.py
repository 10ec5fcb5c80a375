"""Loads named SQL statements from the ``.sql`` file beside the module that calls them."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (?P<name>[a-z_]+)$", re.MULTILINE)


def load_statements(module_file: str) -> Mapping[str, bytes]:
    """Return the statements of ``MODULE.sql``, next to ``MODULE.py``, by name.

    A statement starts at a line ``-- name: its_name`` and ends at the next; its purpose is the
    comment below the name. Parameters are bound by the driver, as ``%(name)s``.
    """
    text = Path(module_file).with_suffix(".sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return MappingProxyType(
        {name: body.strip().encode() for name, body in zip(parts[::2], parts[1::2], strict=True)}
    )
