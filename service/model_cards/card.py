"""A model's card: its fields, and the check that a file's values make one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Final, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter, ValidationError

from service.errors import InvalidInputError

#: Text-search configurations that say what language a text is in; "auto" stands for several.
_LANGUAGES: Final = frozenset(
    {
        "arabic", "armenian", "auto", "basque", "catalan", "danish", "dutch", "english",
        "estonian", "finnish", "french", "german", "greek", "hindi", "hungarian", "indonesian",
        "irish", "italian", "lithuanian", "nepali", "norwegian", "portuguese", "romanian",
        "russian", "serbian", "spanish", "swedish", "tamil", "turkish", "yiddish",
    }
)  # fmt: skip

#: What is written before a name, and a colon, where another kind of model than a local
#: cross-encoder or bi-encoder is meant.
PREFIXES: Final = ("cohere", "jina", "tei", "chat", "late", "openai")

EncoderKind = Literal["bi-encoder", "remote"]
RerankerKind = Literal["cross-encoder", "late-interaction", "remote", "listwise"]
Role = Literal["encoder", "reranker"]


class CardCalibration(NamedTuple):
    """What ``service.search.relevance.Calibration`` is made of, in its order."""

    method: Literal["platt", "isotonic"]
    points: tuple[tuple[float, float], ...]
    source: str


@dataclass(frozen=True, slots=True)
class EncoderCard:
    """What a bi-encoder needs to be used as it was trained.

    ``max_tokens`` counts the special tokens that the tokenizer adds. ``query_prompt`` and
    ``document_prompt`` are put before the text and count too. ``languages`` are named as Postgres
    names its text-search configurations. ``distance`` is the one it was trained for. A ``remote``
    model is asked at ``url``, or where the setting says; ``tokenizer`` names the model whose
    tokenizer counts for it.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    dimension: int
    max_tokens: int
    pooling: Literal["mean", "cls"] = "mean"
    normalize: bool = True
    query_prompt: str = ""
    document_prompt: str = ""
    license: str = ""
    languages: tuple[str, ...] = ("english",)
    distance: Literal["cosine", "inner_product", "l2"] = "cosine"
    kind: EncoderKind = "bi-encoder"
    url: str | None = None
    tokenizer: str | None = None

    def reads(self, text_search_config: str) -> bool:
        """Return False for a configuration of a language that the model was not trained on.

        "auto" expects several languages; of "simple" and of configurations that are not Postgres'
        own the language is not known.
        """
        return text_search_config.removeprefix("unaccent+") not in self.foreign_configs

    @property
    def foreign_configs(self) -> list[str]:
        """Return the configurations of languages that the model was not trained on."""
        return sorted(_LANGUAGES.difference(self.languages))

    @property
    def served_name(self) -> str:
        """Return the name without what is before its colon: what an endpoint calls the model."""
        return split_prefix(self.name)[1]


@dataclass(frozen=True, slots=True)
class RerankerCard:
    """What a reranker needs: ``max_tokens`` is for query and passage together.

    ``endpoint`` is the shape of a remote one's requests, ``url`` where it is, unless the setting
    says. ``weight`` is what its z-score weighs beside the fused score's, for searches that do not
    say, ``feedback`` what likeness to the best does then; ``calibration`` turns its score into a
    relevance.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    name: str
    max_tokens: int
    license: str = ""
    kind: RerankerKind = "cross-encoder"
    languages: tuple[str, ...] = ("english",)
    endpoint: Literal["cohere", "jina", "tei"] | None = None
    url: str | None = None
    weight: float | None = None
    feedback: float = 0.0
    calibration: CardCalibration | None = None

    @property
    def served_name(self) -> str:
        """Return the name without what is before its colon: an endpoint's, or a folder's."""
        return split_prefix(self.name)[1]


Card = EncoderCard | RerankerCard
_READERS: Final[dict[str, TypeAdapter[Any]]] = {
    "encoder": TypeAdapter(EncoderCard),
    "reranker": TypeAdapter(RerankerCard),
}


def split_prefix(name: str) -> tuple[str, str]:
    """Return what is before a name's colon, and the rest; ("", name) where it is no prefix."""
    prefix, colon, rest = name.partition(":")
    return (prefix, rest) if colon and prefix in PREFIXES else ("", name)


def read_card(values: Mapping[str, Any], source: str) -> Card:
    """Return the card that a file's values make; ``role`` says whose.

    Raises:
        InvalidInputError: a field is missing, unknown or of another type; the mend names it.
    """
    fields = dict(values)
    role = fields.pop("role", None)
    if role not in _READERS:
        raise InvalidInputError(
            f"the model card in {source} has the role {role!r}",
            field="role",
            value=role,
            mend="write encoder or reranker",
        )
    try:
        card: Card = _READERS[role].validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInputError(
            f"the model card in {source} cannot be read: {place}: {first['msg']}",
            field=place,
            value=first["input"],
            mend=f"'rankgres model show {fields.get('name', 'NAME')}' prints a card that can",
        ) from None
    return card


def card_values(card: Card) -> dict[str, Any]:
    """Return a card as a file has it: its role, and what differs from the defaults."""
    role: Role = "encoder" if isinstance(card, EncoderCard) else "reranker"
    plain = asdict(card)
    default = asdict(
        EncoderCard("", 0, 0) if isinstance(card, EncoderCard) else RerankerCard("", 0)
    )
    said = {name: value for name, value in plain.items() if value != default[name]}
    if isinstance(card, RerankerCard) and card.calibration:
        said["calibration"] = card.calibration._asdict()
    return {"role": role, **said}
