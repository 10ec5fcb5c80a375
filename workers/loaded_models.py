"""The models of this process: each is loaded once, when first asked for."""

import threading
from functools import cache

from service.settings import get_settings
from workers.inference.encoder import Encoder, load_encoder
from workers.inference.reranker import Reranker, load_reranker

_loading = threading.Lock()
_warnings: list[str] = []


def encoder(name: str) -> Encoder:
    """Return the bi-encoder of that name; raises ModelUnavailableError where it cannot be had."""
    # The lock keeps two threads from loading the same model twice at once.
    with _loading:
        return _encoder(name)


def reranker(name: str) -> Reranker:
    """Return the reranker of that name; raises ModelUnavailableError alike."""
    with _loading:
        return _reranker(name)


def warnings() -> list[str]:
    """Return where the cards of the bi-encoders loaded so far contradict their own files."""
    return list(_warnings)


@cache
def _encoder(name: str) -> Encoder:
    loaded = load_encoder(name, get_settings())
    _warnings.extend(loaded.warnings)
    return loaded


@cache
def _reranker(name: str) -> Reranker:
    return load_reranker(name, get_settings())
