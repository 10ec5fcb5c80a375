import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from service.errors import ModelUnavailableError
from service.model_cards import DEFAULT_RERANKER
from service.settings import Settings
from workers.inference import onnx_cache
from workers.inference.model_files import locate
from workers.inference.onnx_cache import exported, file_name

ROOT = Path(__file__).parents[2]
LOAD = """
import json, logging, sys
logging.basicConfig(level=logging.INFO)
from service.settings import get_settings
from workers.inference.{module} import load_{module}
settings = get_settings()
loaded = load_{module}(settings.{field}, settings)
loaded.close()
print(json.dumps([loaded.backend_name, [n for n in ("torch", "transformers") if n in sys.modules]]))
"""


def start(program: str, home: Path, **variables: str) -> "subprocess.Popen[str]":
    """Start a process that loads a model with its exports under ``home``."""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "RANKGRES_HOME": str(home), **variables},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "field"), [("encoder", "embedding_model"), ("reranker", "reranker_model")]
)
def test_an_onnx_process_never_imports_torch(module: str, field: str, model_home: Path) -> None:
    program = LOAD.format(module=module, field=field)
    process = start(program, model_home, RANKGRES_INFERENCE_BACKEND="onnx")
    printed, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert json.loads(printed) == ["onnx-int8", []]


def test_processes_that_start_together_export_once(tmp_path: Path) -> None:
    program = LOAD.format(module="reranker", field="reranker_model")
    variables = {
        "RANKGRES_INFERENCE_BACKEND": "onnx",
        "RANKGRES_ONNX_PRECISION": "fp32",
        "RANKGRES_MODEL_FOLDER": str(tmp_path / "models"),
    }
    processes = [start(program, tmp_path, **variables) for _ in range(2)]
    logs = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], logs
    assert sum(log.count("exporting") for log in logs) == 1
    files = [path.suffix for path in (tmp_path / "models").iterdir()]
    assert sorted(files) == [".lock", ".onnx"]


def test_a_cached_export_needs_no_torch(
    model_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = locate(DEFAULT_RERANKER)
    cached = exported(DEFAULT_RERANKER, folder, "late", Settings(home=model_home))
    monkeypatch.setattr(onnx_cache, "_NEEDED", ("a_package_that_nobody_has",))
    assert exported(DEFAULT_RERANKER, folder, "late", Settings(home=model_home)) == cached
    with pytest.raises(ModelUnavailableError) as caught:
        exported(DEFAULT_RERANKER, folder, "late", Settings(model_folder=tmp_path / "models"))
    assert "a_package_that_nobody_has" in caught.value.detail
    assert "rankgres[torch]" in (caught.value.mend or "")


def test_a_failed_export_tells_why_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(locate(DEFAULT_RERANKER), folder)
    (folder / "model.safetensors").write_bytes(b"these are no weights")
    with pytest.raises(ModelUnavailableError, match="exporting the model"):
        exported("broken", folder, "late", Settings(model_folder=tmp_path / "models"))
    assert [path.suffix for path in (tmp_path / "models").iterdir()] == [".lock"]


def test_the_file_name_changes_with_what_the_export_depends_on(tmp_path: Path) -> None:
    original = locate(DEFAULT_RERANKER)
    copy = tmp_path / "copy"
    shutil.copytree(original, copy)
    name = file_name("a/b", original, "late", "int8")
    assert file_name("a/b", copy, "late", "int8") == name  # wherever and whenever it was written
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    others = {
        file_name("a/b", original, "late", "fp32"),
        file_name("a/b", original, "mean", "int8"),
        file_name("a/b", copy, "late", "int8"),
    }
    assert len(others | {name}) == 4


def test_the_command_leaves_both_models_of_the_settings_ready() -> None:
    folder = Path(os.environ["RANKGRES_MODEL_FOLDER"])
    command = [sys.executable, "-m", "workers.inference.onnx_cache"]
    subprocess.run(command, cwd=ROOT, check=True)
    settings = Settings(model_folder=folder)
    encoder, reranker = settings.embedding_model, settings.reranker_model
    assert (folder / file_name(encoder, locate(encoder), "mean", "int8")).is_file()
    assert (folder / file_name(reranker, locate(reranker), "late", "int8")).is_file()
