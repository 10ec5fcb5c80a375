"""The standard library's documentation: the docstrings of the Python that runs this.

Python modules are read as source and never imported, so nothing of them is executed. What is
written in C has no source: the modules that offer it are imported and inspected.
"""

import ast
import importlib
import inspect
import os
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final, Literal

from service.ingest.document_structure import outline
from service.ingest.records import Record

Kind = Literal["module", "class", "function", "method", "attribute", "topic"]

#: A shorter docstring says no more than the name above it.
_SHORTEST: Final = 20
_LONGEST_SIGNATURE: Final = 160
#: Tests, fixtures, other people's packages, jokes, generated tables, and what is deprecated.
_SKIPPED: Final = (
    "antigravity dist-packages distutils encodings idlelib lib2to3 msilib pydoc_data site-packages "
    "test tests this turtledemo"
)
#: Modules that are read under the name by which a program imports what they define.
_PUBLIC_NAMES: Final = {
    os.path.__name__: "os.path",
    "genericpath": "os.path",
    "_collections_abc": "collections.abc",
    "_py_warnings": "warnings",
    "concurrent.futures._base": "concurrent.futures",
    "pathlib._local": "pathlib",
    "tomllib._parser": "tomllib",
    "unittest.case": "unittest",
}
#: Paths of the other kind of system: every text of theirs is in os.path too.
_FOREIGN: Final = frozenset({"ntpath", "posixpath"} - {os.path.__name__})
#: Modules that offer objects written in C. Importing them prints nothing and starts nothing.
_COMPILED: Final = (
    "builtins array asyncio atexit binascii bisect bz2 cmath codecs collections contextvars csv "
    "ctypes curses datetime decimal errno faulthandler fcntl functools gc grp hashlib heapq hmac "
    "io itertools json lzma marshal math mmap operator os pickle pwd queue random re resource "
    "select signal socket sqlite3 ssl statistics string struct sys syslog termios threading time "
    "tracemalloc types typing unicodedata uuid weakref zlib zoneinfo"
)
_OWN_ARGUMENT: Final = re.compile(r"\((?:\$\w+|self\b|cls\b)(?:, /)?(?:, )?")


def standard_library_documents() -> Iterator[Record]:
    """Yield one record per documented module, class, function, method and language topic.

    The order is the same on every run; an id and a text come once. Private names are left out.
    """
    seen_ids: set[str] = set()
    seen_texts: set[str] = set()
    for record in _all_documents():
        if record.id not in seen_ids and record.text not in seen_texts:
            seen_ids.add(record.id)
            seen_texts.add(record.text)
            yield record


def _all_documents() -> Iterator[Record]:
    root = Path(sysconfig.get_path("stdlib"))
    for file in _source_files(root):
        parts = file.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if module in _PUBLIC_NAMES or not any(part.startswith("_") for part in module.split(".")):
            yield from _Source(root / file, file.as_posix(), module).documents()
    for name in _COMPILED.split():
        yield from _compiled_documents(name)
    yield from _topics()


def _source_files(root: Path) -> Iterator[Path]:
    """Yield the library's Python files, relative to its folder, sorted."""
    skipped = {*_SKIPPED.split(), *_FOREIGN}
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in skipped and "-" not in name)
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122  a name, thousands of times
            if suffix == ".py" and stem not in skipped:
                yield Path(parent, name).relative_to(root)


def _record(
    name: str,
    kind: Kind,
    doc: str | None,
    module: str,
    *,
    title: str = "",
    signature: str = "",
    place: str = "",
    line: int = 0,
) -> Iterator[Record]:
    """Yield the record of one object, or nothing where its docstring says too little."""
    text = inspect.cleandoc(doc or "").replace("\0", "").strip()
    if len(text) < _SHORTEST:
        return
    if len(signature) > _LONGEST_SIGNATURE:
        signature = signature[: _LONGEST_SIGNATURE - 2].rstrip(", ") + "\u2026)"
    yield Record(
        line=line,
        source=place or module,
        id=name,
        title=title or name + signature,
        text=text,
        metadata={"kind": kind, "module": module},
    )


class _Source:
    """One Python file of the library, read as a syntax tree."""

    def __init__(self, path: Path, place: str, module: str) -> None:
        self._path = path
        self._place = place
        self._module = module
        self._public = _public_name(module)

    def documents(self) -> Iterator[Record]:
        """Yield the documents of the module and of what it defines; none if it cannot be read."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # old escapes in other people's strings
                tree = ast.parse(self._path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            return
        doc = ast.get_docstring(tree, clean=False)
        private = any(part.startswith("_") for part in self._module.split("."))
        name = self._public if private else self._module
        yield from _record(name, "module", doc, name, place=self._place, line=1)
        for node in _definitions(tree.body):
            if isinstance(node, ast.ClassDef):
                yield from self._class(node, f"{self._public}.{node.name}")
            else:
                yield from self._function(node, f"{self._public}.{node.name}", "function")

    def _class(self, node: ast.ClassDef, name: str) -> Iterator[Record]:
        doc = ast.get_docstring(node, clean=False)
        yield from _record(name, "class", doc, self._public, place=self._place, line=node.lineno)
        for member in _definitions(node.body):
            if isinstance(member, ast.ClassDef):
                yield from self._class(member, f"{name}.{member.name}")
            else:
                kind: Kind = "attribute" if _is_property(member) else "method"
                yield from self._function(member, f"{name}.{member.name}", kind)

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, name: str, kind: Kind
    ) -> Iterator[Record]:
        doc = ast.get_docstring(node, clean=False)
        if doc is None:
            return
        signature = "" if kind == "attribute" else f"({ast.unparse(node.args)})"
        if kind == "method":
            signature = _OWN_ARGUMENT.sub("(", signature, count=1)
        yield from _record(
            name, kind, doc, self._public, signature=signature, place=self._place, line=node.lineno
        )


def _is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(decorator).endswith("property") for decorator in node.decorator_list)


def _is_public(name: str) -> bool:
    """Tell whether a name is public; special methods such as ``__enter__`` are."""
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _public_name(module: str) -> str:
    """Return the name by which programs import what a module defines."""
    # asyncio's modules are an inner matter: all that is public is imported from the package.
    return "asyncio" if module.startswith("asyncio.") else _PUBLIC_NAMES.get(module, module)


def _definitions(
    body: list[ast.stmt],
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public classes and functions of a body, also under ``if`` and ``try``."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if _is_public(node.name):
                yield node
        elif isinstance(node, ast.If):
            yield from _definitions(node.body + node.orelse)
        elif isinstance(node, ast.Try):
            handled = [statement for handler in node.handlers for statement in handler.body]
            yield from _definitions(node.body + handled + node.orelse)


def _compiled_documents(name: str) -> Iterator[Record]:
    """Yield the documents of what a module offers that is written in C."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = importlib.import_module(name)
    except (ImportError, OSError):
        return  # left out of this Python, or of this system
    yield from _record(name, "module", module.__doc__, name)
    prefix = "" if module is sys.modules["builtins"] else f"{name}."
    for attribute, value in _offered(module):
        qualified = prefix + attribute
        if inspect.isbuiltin(value):
            doc, signature = value.__doc__, _signature(value)
            yield from _record(qualified, "function", doc, name, signature=signature)
        elif inspect.isclass(value) and _belongs(value, name):
            yield from _record(qualified, "class", _own_doc(value), name)
            for base in value.__mro__:
                if base is value or base.__module__.startswith("_"):
                    yield from _compiled_members(base, qualified, name)


def _compiled_members(owner: type, qualified: str, module: str) -> Iterator[Record]:
    """Yield the documents of a class's own members, under the name of the class that offers them.

    That may be another one: ``socket.socket`` takes most of its methods from ``_socket.socket``.
    """
    for name, member in sorted(vars(owner).items()):
        if not _is_public(name):
            continue
        if inspect.isroutine(member):
            kind: Kind = "method"
        elif inspect.isgetsetdescriptor(member) or inspect.ismemberdescriptor(member):
            kind = "attribute"
        else:
            continue
        signature = _signature(member)
        yield from _record(f"{qualified}.{name}", kind, member.__doc__, module, signature=signature)


def _offered(module: ModuleType) -> list[tuple[str, object]]:
    """Return the public names of a module with their values, ``socket`` before ``SocketType``."""
    names = getattr(module, "__all__", None) or vars(module)
    values = vars(module)
    return [
        (n, values[n])
        for n in sorted(names, key=str.lower)
        if n in values and not n.startswith("_")
    ]


def _belongs(value: type, module: str) -> bool:
    """Tell whether a class is this module's own, or comes from a private one behind it."""
    return value.__module__ == module or value.__module__.startswith("_")


def _own_doc(value: type) -> str | None:
    """Return a class's docstring where it is not its base's."""
    doc = vars(value).get("__doc__")
    return doc if isinstance(doc, str) else None


def _signature(value: object) -> str:
    """Return a C function's signature as it is written down, without evaluating its defaults."""
    signature = getattr(value, "__text_signature__", None)
    return _OWN_ARGUMENT.sub("(", signature, count=1) if isinstance(signature, str) else ""


def _topics() -> Iterator[Record]:
    """Yield the chapters of the language reference that pydoc carries, where it carries them."""
    try:
        topics = importlib.import_module("pydoc_data.topics").topics
    except (ImportError, AttributeError):
        return  # Debian keeps them in a package of their own
    for name, chapter in sorted(topics.items()):
        text = inspect.cleandoc(chapter)
        headings = next((part.headings for part in outline(text).sections if part.headings), ())
        title = headings[0] if headings else name.capitalize()
        yield from _record(f"topic:{name}", "topic", text, "pydoc", title=title)
