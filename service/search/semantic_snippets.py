"""Snippets that show why: the query's words, else the sentence nearest to it in meaning."""

import base64
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.search.sentences import excerpt, split_sentences
from service.search.task_sender import NoAnswerError, TaskSender
from service.task_names import COMPARE_SENTENCES, ENCODE_QUEUE

#: Milliseconds that comparing sentences may take; a passage whose turn does not come shows its
#: beginning.
BUDGET_MS = 50.0
#: Kept of the budget for the way back, and for a last run that took longer than expected: an answer
#: that comes late is lost whole.
_RETURN_SHARE = 0.3

#: What chose a snippet: words of the query in it, its meaning, or nothing but that it comes first.
SnippetSource = Literal["words", "meaning", "beginning"]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A raw excerpt, marks around what it shows, and what chose it."""

    text: str
    source: SnippetSource


@dataclass(frozen=True, slots=True)
class SnippetChoice:
    """One snippet a passage; ``reason`` says in one stable word why meaning chose none at all."""

    snippets: list[Snippet]
    model_ms: float = 0.0
    reason: str | None = None


def choose_snippets(
    sender: TaskSender,
    model: str,
    embedding: NDArray[np.float32] | None,
    texts: Sequence[str],
    marked: Sequence[str],
    *,
    marks: tuple[str, str],
    budget_ms: float = BUDGET_MS,
) -> SnippetChoice:
    """Return a snippet of each passage.

    An excerpt in which words are marked stays. Of the other passages, as many as the budget allows
    are cut into sentences and compared with the query by the encode worker, in the order given; the
    nearest sentence is marked. What is left shows its beginning.

    Args:
        sender: the way to the workers.
        model: the bi-encoder that the passages were embedded by.
        embedding: the query's, shape (dimension,); None where there is none, and words must do.
        texts: the passages, most important first.
        marked: an excerpt of each, with the query's words between the marks, or its beginning.
        marks: what stands before and after what is marked.
        budget_ms: for asking the worker.
    """
    snippets = [Snippet(given, "words" if marks[0] in given else "beginning") for given in marked]
    wordless = [place for place, snippet in enumerate(snippets) if snippet.source == "beginning"]
    if embedding is None or not wordless:
        return SnippetChoice(snippets)
    spans = {place: split_sentences(texts[place]) for place in wordless}
    # What has one sentence shows all that there is, whatever is nearest.
    asked = [place for place in wordless if len(spans[place]) > 1]
    if not asked:
        return SnippetChoice(snippets)
    deadline = time.time() + budget_ms / 1000
    try:
        answer = sender.call(
            COMPARE_SENTENCES,
            ENCODE_QUEUE,
            {
                "model": model,
                "embedding": base64.b64encode(embedding.astype("<f4").tobytes()).decode(),
                "passages": [
                    [texts[place][start:end] for start, end in spans[place]] for place in asked
                ],
            },
            deadline,
            worker_deadline=deadline - _RETURN_SHARE * budget_ms / 1000,
        )
    except NoAnswerError as error:
        return SnippetChoice(snippets, reason=error.reason)
    similarities: list[list[float] | None] = answer["similarities"]
    for place, compared in zip(asked, similarities, strict=True):
        if compared is not None:
            nearest = int(np.argmax(compared))
            shown = excerpt(texts[place], spans[place], nearest, marks)
            snippets[place] = Snippet(shown, "meaning")
    nothing = all(compared is None for compared in similarities)
    return SnippetChoice(snippets, answer["model_ms"], "timeout" if nothing else None)
