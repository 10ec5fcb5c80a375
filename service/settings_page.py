"""Settings page: writes ``docs/settings.md`` from the settings, so that the two cannot differ.

Run it with ``make settings-page``; a test compares.
"""

import sys
from collections.abc import Iterator

from pydantic.fields import FieldInfo

from service.settings import Settings

_HEAD = """\
# Settings

Each is an environment variable, read once when a process starts. This page is written by
`make settings-page` from `service/settings.py`; change it there.

| Variable | Default | What it does |
|---|---|---|
"""


def settings_page() -> str:
    """Return the page as Markdown."""
    return _HEAD + "".join(f"{row}\n" for row in _rows())


def _rows() -> Iterator[str]:
    prefix = Settings.model_config.get("env_prefix", "")
    for name, field in Settings.model_fields.items():
        description = (field.description or "").replace("|", r"\|")
        yield f"| `{prefix}{name.upper()}` | {_default(field)} | {description} |"


def _default(field: FieldInfo) -> str:
    """Return the default as the variable would be written."""
    if field.default_factory is not None:
        return "depends on the user"
    return "unset" if field.default is None else f"`{field.default}`"


if __name__ == "__main__":
    sys.stdout.write(settings_page())
