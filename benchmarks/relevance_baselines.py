"""Baselines of relevance: bm25s, and exact vectors and their convex sum with it.

Both read title and text of whole documents, with none of Rankgres' chunks, index or database.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from service.evaluation.fusion import FusionTable, StageList
from service.evaluation.metrics import DEPTH
from service.ingest.documents import Document
from service.model_cards import DEFAULT_ENCODER
from service.settings import get_settings
from workers.inference.encoder import Encoder, load_encoder

_K1, _B = 1.2, 0.75
#: Documents embedded before they are put by: an encoding that was cut short goes on from there.
_BLOCK = 2048

Lists = dict[str, StageList]


def bm25_lists(
    documents: Sequence[Document], queries: Mapping[str, str], language: str | None
) -> Lists:
    """Return the first 100 of bm25s for every query; what scores 0 was not found.

    Args:
        documents: the corpus.
        queries: texts by id.
        language: of the stemmer, None for none.
    """
    stemmer = Stemmer.Stemmer(language) if language else None

    def tokens(texts: Sequence[str]) -> bm25s.tokenization.Tokenized:
        return bm25s.tokenize(list(texts), stopwords="en", stemmer=stemmer, show_progress=False)

    index = bm25s.BM25(k1=_K1, b=_B)
    index.index(tokens([_whole(document) for document in documents]), show_progress=False)
    found, scores = index.retrieve(
        tokens(list(queries.values())), k=min(DEPTH, len(documents)), show_progress=False
    )
    return {
        query: {
            documents[place].id: float(score)
            for place, score in zip(places, values, strict=True)
            if score > 0
        }
        for query, places, values in zip(queries, found, scores, strict=True)
    }


def exact_lists(documents: Sequence[Document], queries: Mapping[str, str], cache: Path) -> Lists:
    """Return the 100 nearest of every query by exact search, encoded in fp32, cut where it reads.

    Args:
        documents: the corpus; each is embedded as one text.
        queries: texts by id.
        cache: folder for the documents' embeddings.
    """
    settings = get_settings().model_copy(update={"onnx_precision": "fp32"})
    encoder = load_encoder(DEFAULT_ENCODER, settings)
    try:
        embeddings = _document_embeddings(encoder, documents, cache)
        asked = encoder.encode(list(queries.values()), "query").embeddings
    finally:
        encoder.close()
    return dict(zip(queries, _nearest(documents, embeddings, asked), strict=True))


def convex_rankings(words: Lists, near: Lists) -> dict[str, list[str]]:
    """Return the half-and-half sum of both lists' scores, each scaled to 0..1 over its list."""
    table = FusionTable(list(words.values()), [near[query] for query in words])
    order = table.order("relative_score", 0.5, 1, DEPTH)
    return {
        query: [names[place] for place in order[number] if place < len(names)]
        for number, query in enumerate(words)
        for names in [table.documents(number)]
    }


def _document_embeddings(
    encoder: Encoder, documents: Sequence[Document], cache: Path
) -> NDArray[np.float32]:
    """Return all embeddings, a row a document; blocks that lie in the cache are not made again."""
    cache.mkdir(parents=True, exist_ok=True)
    blocks = []
    for first in range(0, len(documents), _BLOCK):
        block = documents[first : first + _BLOCK]
        texts = [_whole(document) for document in block]
        digest = hashlib.sha256("\0".join([DEFAULT_ENCODER, *texts]).encode()).hexdigest()[:16]
        path = cache / f"{digest}.npy"
        if not path.exists():
            draft = path.with_suffix(".draft.npy")
            np.save(draft, encoder.encode(texts, "document").embeddings)
            draft.replace(path)
            print(f"  {first + len(block):,} of {len(documents):,} documents encoded", flush=True)
        blocks.append(np.load(path))
    return np.concatenate(blocks)


def _nearest(
    documents: Sequence[Document], embeddings: NDArray[np.float32], asked: NDArray[np.float32]
) -> list[StageList]:
    found: list[StageList] = []
    for query in asked:
        scores = embeddings @ query
        first = np.argpartition(-scores, min(DEPTH, len(scores) - 1))[:DEPTH]
        best = first[np.argsort(-scores[first], kind="stable")]
        found.append({documents[place].id: float(scores[place]) for place in best})
    return found


def _whole(document: Document) -> str:
    return f"{document.title} {document.text}"
