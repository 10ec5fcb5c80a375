"""A real embedding worker whose model fails and hangs on demand.

``python -m tests.faults.fault_worker embed``; FAULT_FOLDER is where its log is and its orders come.
Everything but the model is the product's own.
"""

import importlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from service.model_cards import EncoderCard, encoder_card
from service.settings import Settings
from tests.faults.encoding_log import EncodingLog
from tests.support.fake_encoder import FakeEncoder, put_in_place
from workers.inference.backend import ModelBusyError
from workers.inference.encoder import Encoder, Encoding, Role
from workers.inference.model_files import locate
from workers.inference.tokens import load_tokenizer

#: So long takes a call, so that faults strike in the middle of one.
CALL_SECONDS = 0.01


class ModelBrokenError(Exception):
    """What the model raises when it was ordered to."""


class FaultEncoder(FakeEncoder):
    """Notes what it reads; the next call after an order raises or hangs, in one worker alone."""

    def __init__(self, card: EncoderCard, tokenizer: Tokenizer, folder: Path) -> None:
        super().__init__(card, tokenizer)
        self._log = EncodingLog(folder / "encoded")
        self._orders = folder / "orders"

    def encode(self, texts: Sequence[str], role: Role, deadline: float | None = None) -> Encoding:
        """Embed, after having obeyed.

        Raises:
            ModelBrokenError: an order said so.
            ModelBusyError: an order said so, as a remote model does that is asked too often.
        """
        if texts:
            self._log.note_texts(texts)
            self._obey()
        time.sleep(CALL_SECONDS)
        return super().encode(texts, role, deadline)

    def _obey(self) -> None:
        for order in sorted(self._orders.iterdir()):
            name, _, seconds = order.name.split("_")
            try:
                order.unlink()
            except FileNotFoundError:  # another worker's by now
                continue
            self._log.note_trouble(name, float(seconds))
            if name == "raise":
                raise ModelBrokenError("ordered to fail")
            if name == "busy":
                raise ModelBusyError(float(seconds))
            time.sleep(float(seconds))


def give_order(folder: Path, name: str, number: int, seconds: float = 0.0) -> None:
    """Have the next call of any model ``raise``, or ``hang`` or be ``busy`` for so many seconds."""
    orders = folder / "orders"
    orders.mkdir(parents=True, exist_ok=True)
    (orders / f"{name}_{number:06}_{seconds}").touch()


def _load(name: str, _settings: Settings) -> Encoder:
    folder = Path(os.environ["FAULT_FOLDER"])
    return FaultEncoder(encoder_card(name), load_tokenizer(locate(name)), folder)


if __name__ == "__main__":
    put_in_place(_load)
    importlib.import_module("workers.__main__")
