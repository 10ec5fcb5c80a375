"""HTML and Markdown become the text that a reader sees, with what chunking goes by."""

import pytest

from service.ingest.document_structure import outline
from workers.plain_text import plain_text


def test_plain_text_stays_as_it_is() -> None:
    text = "a < b &amp; **c**\n\n  <p>"
    assert plain_text(text, "plain") is text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Some <b>bo</b>ld &amp; &lt;plain&gt;</p><p>next", "Some bold & <plain>\n\nnext"),
        ("one<br>two<div>three</div>four", "one\ntwo\nthree\nfour"),
        ("<ul><li>one<li>two<ul><li>in</ul></ul>", "• one\n  • two\n    • in"),
        ("<table><tr><th>A<th>B<tr><td>1<td>2</table>", "A\t\tB\n1\t\t2"),
        ("a<script>alert(1)</script><style>p{}</style><!-- c -->b", "ab"),
        ("<details><summary>Short</summary>long</details>", "Short long"),
        ("just text, no tags & no entities", "just text, no tags & no entities"),
        ("<h2>Part <em>one</em></h2>text<h3> </h3>", "## Part one\n\ntext"),
        ("<pre><code># no heading\n  x = 1</code></pre>", "```\n# no heading\n  x = 1\n```"),
        ("x&#0;y&#xD800;z", "x\ufffdy\ufffdz"),
        ("", ""),
        ("<p>", ""),
        ("<", "<"),
    ],
)
def test_html_loses_its_markup(html: str, text: str) -> None:
    assert plain_text(html, "html") == text


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("Some **bold** and `code`, [a link](http://x.example).", "Some bold and code, a link."),
        ("Setext\n======\n\nend &amp; a\\*b", "# Setext\n\nend & a*b"),
        ("## Part *one* ##\n- a\n- b", "## Part one\n\n  • a\n  • b"),
        ("![a picture](x.png) ~~gone~~", "a picture gone"),
        ("| A | B |\n|---|---|\n| 1 | 2 |", "A\t\tB\n1\t\t2"),
        ("> quoted\n\n<div>html <b>in</b> it</div>", "quoted\n\nhtml in it"),
    ],
)
def test_markdown_loses_its_markup(markdown: str, text: str) -> None:
    assert plain_text(markdown, "markdown") == text


def test_chunking_finds_the_headings_and_no_others() -> None:
    html = "<h1>Guide</h1>a<h2>Setup</h2><pre># a comment, no heading\nmake</pre><p>b"
    for text in (
        plain_text(html, "html"),
        plain_text(
            "# Guide\na\n## Setup\n\n    # a comment, no heading\n    make\n\nb\n", "markdown"
        ),
    ):
        found = outline(text)
        assert [section.headings for section in found.sections] == [("Guide",), ("Guide", "Setup")]
        assert len(found.fences) == 1


def test_html_nested_without_end_is_read_to_its_end() -> None:
    deep = 5_000
    assert plain_text("<div>" * deep + "inside" + "</div>" * deep + "after", "html") == (
        "inside\nafter"
    )


def test_a_table_with_one_long_cell_does_not_pad_the_others() -> None:
    rows = "".join(f"<tr><td>{'x' * (9_000 if n == 0 else 3)}<td>b" for n in range(1_000))
    assert len(plain_text(f"<table>{rows}</table>", "html")) < 30_000
