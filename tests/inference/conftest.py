"""Each backend's models, loaded once per session; exports go to one folder of the session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER, reranker_card
from service.settings import Settings
from workers.inference.cross_encoder import CrossEncoder, load_cross_encoder
from workers.inference.encoder import Encoder, load_encoder

BACKENDS = ("onnx-int8", "onnx-fp32", "torch")


def settings_for(backend: str, home: Path) -> Settings:
    """Return settings that choose a backend by its name in ``BACKENDS``."""
    kind, _, precision = backend.partition("-")
    return Settings.model_validate(
        {"home": home, "inference_backend": kind, "onnx_precision": precision or "int8"}
    )


@pytest.fixture(scope="session")
def model_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session", params=BACKENDS)
def settings(request: pytest.FixtureRequest, model_home: Path) -> Settings:
    return settings_for(request.param, model_home)


@pytest.fixture(scope="session")
def encoder(settings: Settings) -> Iterator[Encoder]:
    loaded = load_encoder(DEFAULT_ENCODER, settings)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def reranker(settings: Settings) -> Iterator[CrossEncoder]:
    loaded = load_cross_encoder(reranker_card(DEFAULT_RERANKER), settings)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def exact_encoder(model_home: Path) -> Iterator[Encoder]:
    """Return the reference: torch in fp32."""
    loaded = load_encoder(DEFAULT_ENCODER, settings_for("torch", model_home))
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def exact_reranker(model_home: Path) -> Iterator[CrossEncoder]:
    """Return the reference: torch in fp32."""
    loaded = load_cross_encoder(reranker_card(DEFAULT_RERANKER), settings_for("torch", model_home))
    yield loaded
    loaded.close()
