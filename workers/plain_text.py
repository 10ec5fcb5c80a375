"""Plain text of columns that hold HTML or Markdown.

Headings and code keep the marks by which chunking finds them (`service.ingest.document_structure`):
a heading its number signs, code its fence. Everything else of the markup goes.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from markdown_it import MarkdownIt
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import DOMNode, HTMLTree

from service.ingest.documents import TextFormat

_LEVELS: Final = ("", "h1", "h2", "h3", "h4", "h5", "h6")
_HEADINGS: Final = ", ".join(_LEVELS[1:])
#: Blocks that the library joins to their neighbours.
_JOINED: Final = "summary, legend, caption, dialog, option"
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def plain_text(text: str, text_format: TextFormat) -> str:
    """Return the text that a reader of it would see; plain text as it is."""
    if text_format == "plain":
        return text
    return _text_of_html(_markdown().render(text) if text_format == "markdown" else text)


@cache
def _markdown() -> MarkdownIt:
    """Return a parser of CommonMark with tables; HTML in it stays HTML."""
    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _text_of_html(html: str) -> str:
    tree = HTMLTree.parse(html)
    for heading in _found(tree, _HEADINGS):
        if (heading.text or "").strip():
            _put_around(tree, heading, "#" * _LEVELS.index(heading.tag) + " ", "")
    for code in _found(tree, "pre"):
        _put_around(tree, code, "```\n", "\n```")
    for block in _found(tree, _JOINED):
        _put_around(tree, block, " ", " ")
    text = extract_plain_text(tree, preserve_formatting=True, main_content=False)
    # Neither can be stored; a page may spell both as entities.
    return _SURROGATES.sub("\ufffd", text).replace("\0", "").strip()


def _found(tree: HTMLTree, selector: str) -> Iterator[DOMNode]:
    document = tree.document
    yield from document.query_selector_all(selector) if document else ()


def _put_around(tree: HTMLTree, node: DOMNode, before: str, after: str) -> None:
    start, end = tree.create_text_node(before), tree.create_text_node(after)
    if node.first_child is not None and start is not None and end is not None:
        node.insert_before(start, node.first_child)
        node.append_child(end)
