"""What a model's own files say of it: the facts that a card is made of, or held against."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from service.model_cards import EncoderCard

Kind = Literal["bi-encoder", "cross-encoder", "late-interaction", "sparse", "classifier"]

#: Which text-search configuration of Postgres is of the language that a model's page names.
_CONFIGS: Final = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "da": "danish",
    "nl": "dutch", "en": "english", "et": "estonian", "fi": "finnish", "fr": "french",
    "de": "german", "el": "greek", "hi": "hindi", "hu": "hungarian", "id": "indonesian",
    "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali", "no": "norwegian",
    "nb": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sr": "serbian",
    "es": "spanish", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_DISTANCES: Final = {"cosine": "cosine", "dot": "inner_product", "euclidean": "l2"}
#: Families that number positions from the padding's id on, and so read fewer than they have.
_OFFSET_POSITIONS: Final = frozenset(
    {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl"}
)
#: What a tokenizer writes that has no limit of its own.
_NO_LIMIT: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the files say; None where they say nothing.

    ``modules`` are the last parts of the modules' class names, empty without ``modules.json``.
    ``prompts`` are those by role, without the empty ones that a library writes unasked.
    """

    kind: Kind
    dimension: int | None
    max_tokens: int | None
    pooling: str | None
    normalize: bool | None
    query_prompt: str | None
    document_prompt: str | None
    distance: Literal["cosine", "inner_product", "l2"] | None
    license: str | None
    languages: tuple[str, ...] | None
    modules: tuple[str, ...]
    labels: int


def read_facts(folder: Path) -> ModelFacts:
    """Read the small files of a model's folder; its weights stay unread."""
    config = _read(folder / "config.json")
    library = _read(folder / "config_sentence_transformers.json")
    modules = _modules(folder)
    pooling = _read(_module_folder(folder, "Pooling") / "config.json")
    normalizes = any(name == "Normalize" for name in modules)
    query_prompt, document_prompt = _prompts(library)
    license_name, languages = _page(folder / "README.md")
    return ModelFacts(
        kind=_kind(config, library),
        dimension=_dimension(config, pooling),
        max_tokens=_max_tokens(folder, config),
        pooling=_pooling(pooling),
        normalize=normalizes if modules else None,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        distance=_DISTANCES.get(str(library.get("similarity_fn_name"))),  # type: ignore[arg-type]  # its values are those names
        license=license_name,
        languages=languages,
        modules=modules,
        labels=len(config.get("id2label") or {}) or int(config.get("num_labels", 2)),
    )


def is_multi_vector(folder: Path) -> bool:
    """Return whether the folder holds a ColBERT model, of whichever of its three formats."""
    config = _read(folder / "config.json")
    library = _read(folder / "config_sentence_transformers.json")
    return _kind(config, library) == "late-interaction"


def contradictions(card: EncoderCard, facts: ModelFacts) -> list[str]:
    """Return where a card says otherwise than the model's own files, in words for whoever uses it.

    What the files do not say contradicts nothing.
    """
    found = []
    for name, said in (
        ("query_prompt", facts.query_prompt),
        ("document_prompt", facts.document_prompt),
        ("pooling", facts.pooling),
        ("dimension", facts.dimension),
    ):
        used = getattr(card, name)
        if said is not None and said != used:
            found.append(
                f"{card.name} is used with {name} {used!r}, and its own files say {said!r}"
            )
    if facts.max_tokens is not None and facts.max_tokens < card.max_tokens:
        found.append(
            f"{card.name} is given {card.max_tokens} tokens, and its own files say that it reads "
            f"{facts.max_tokens}"
        )
    return found


def _read(path: Path) -> dict[str, Any]:
    """Return a file's JSON object; an absent or broken file says nothing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _listed(folder: Path) -> list[Mapping[str, str]]:
    try:
        content = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return content if isinstance(content, list) else []


def _modules(folder: Path) -> tuple[str, ...]:
    return tuple(str(module.get("type", "")).rpartition(".")[2] for module in _listed(folder))


def _module_folder(folder: Path, name: str) -> Path:
    for module in _listed(folder):
        if str(module.get("type", "")).endswith(f".{name}"):
            return folder / str(module.get("path", ""))
    return folder / f"1_{name}"


def _kind(config: Mapping[str, Any], library: Mapping[str, Any]) -> Kind:
    architectures = [str(name) for name in config.get("architectures") or []]
    written = str(library.get("model_type", ""))
    if written in {"MultiVectorEncoder", "ColBERT"} or "HF_ColBERT" in architectures:
        return "late-interaction"
    if written == "SparseEncoder":
        return "sparse"
    if any(name.endswith("ForSequenceClassification") for name in architectures):
        labels = len(config.get("id2label") or {}) or int(config.get("num_labels", 2))
        return "cross-encoder" if labels == 1 else "classifier"
    return "cross-encoder" if written == "CrossEncoder" else "bi-encoder"


def _dimension(config: Mapping[str, Any], pooling: Mapping[str, Any]) -> int | None:
    for source, names in (
        (pooling, ("word_embedding_dimension", "embedding_dimension")),
        (config, ("hidden_size", "d_model", "dim")),
    ):
        for name in names:
            if isinstance(source.get(name), int):
                return int(source[name])
    return None


def _max_tokens(folder: Path, config: Mapping[str, Any]) -> int | None:
    """Return the least of what the library's, the tokenizer's and the model's files say.

    The library's file comes first where it is there: it is what the model was trained with.
    """
    written = _read(folder / "sentence_bert_config.json").get("max_seq_length")
    if isinstance(written, int):
        return written
    limits = []
    tokenizer = _read(folder / "tokenizer_config.json").get("model_max_length")
    if isinstance(tokenizer, int) and tokenizer < _NO_LIMIT:
        limits.append(tokenizer)
    positions = config.get("max_position_embeddings")
    if isinstance(positions, int):
        offset = config.get("model_type") in _OFFSET_POSITIONS
        limits.append(positions - (int(config.get("pad_token_id") or 0) + 1 if offset else 0))
    return min(limits, default=None)


def _pooling(pooling: Mapping[str, Any]) -> str | None:
    if not pooling:
        return None
    if isinstance(pooling.get("pooling_mode"), str):
        return str(pooling["pooling_mode"])
    chosen = [
        mode
        for mode, key in (
            ("cls", "pooling_mode_cls_token"),
            ("mean", "pooling_mode_mean_tokens"),
            ("max", "pooling_mode_max_tokens"),
            ("lasttoken", "pooling_mode_lasttoken"),
        )
        if pooling.get(key)
    ]
    return "+".join(chosen) or None


def _prompts(library: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the prompts of query and document, None where nothing, or an empty one, is written."""
    prompts = library.get("prompts")
    if not isinstance(prompts, dict):
        return None, None
    general = prompts.get(library.get("default_prompt_name"))
    query = prompts.get("query") or general
    document = prompts.get("document") or prompts.get("passage") or general
    return query or None, document or None


def _page(path: Path) -> tuple[str | None, tuple[str, ...] | None]:
    """Return licence and languages from the head of a model's page."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None, None
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    if head is None:
        return None, None
    license_line = re.search(r"^license:\s*(\S+)", head[1], re.MULTILINE)
    languages = re.search(r"^language:(.*(?:\n\s*-.*)*)", head[1], re.MULTILINE)
    codes = re.findall(r"[a-z]{2,}", languages[1]) if languages else []
    configs = sorted({_CONFIGS[code] for code in codes if code in _CONFIGS})
    if len(configs) > 1:
        configs.append("auto")
    return license_line[1].strip("\"'") if license_line else None, tuple(configs) or None
