"""Families beside BERT: their padding, segments, positions and activations, on every backend."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification

from service.model_cards import EncoderCard
from tests.inference.conftest import settings_for
from tests.support.tiny_models import WORDS, make_mpnet, make_xlm_roberta
from workers.inference.encoder import open_encoder
from workers.inference.model_files import locate
from workers.inference.onnx_cache import file_name
from workers.inference.onnx_export import data_file
from workers.inference.reranker import Reranker, load_reranker
from workers.inference.tokens import load_tokenizer

ROOT = Path(__file__).parents[2]
QUERY = "how do i run a command"
PASSAGES = ["wait for the child", "eggs", "kill it in time with a timeout and sugar for eggs", ""]


EXPORT = """
import sys
from pathlib import Path
from workers.inference.onnx_export import export
for line in sys.stdin.read().splitlines():
    folder, head, target, apart = line.split("\t")
    export(Path(folder), head, "fp32", Path(target), apart=apart == "apart" or None)
"""


@pytest.fixture(scope="module")
def families(model_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the models, and their exports where the backend looks for them, in one process."""
    home = tmp_path_factory.mktemp("families")
    exports = settings_for("onnx-fp32", model_home).models
    exports.mkdir(parents=True, exist_ok=True)
    xlm_roberta = make_xlm_roberta(home / "xlm-roberta")
    mpnet = make_mpnet(home / "mpnet")
    (home / "apart").mkdir()
    wanted = [
        (
            xlm_roberta,
            "pair",
            exports / file_name(str(xlm_roberta), xlm_roberta, "pair", "fp32"),
            "",
        ),
        (mpnet, "mean", exports / file_name(str(mpnet), mpnet, "mean", "fp32"), ""),
        (xlm_roberta, "pair", home / "apart" / "large.onnx", "apart"),
    ]
    lines = "\n".join("\t".join(map(str, each)) for each in wanted if not each[2].exists())
    command = [sys.executable, "-W", "ignore", "-c", EXPORT]
    subprocess.run(command, cwd=ROOT, input=lines, text=True, check=True, capture_output=True)
    return home


@pytest.fixture(scope="module")
def xlm_roberta(families: Path) -> Path:
    return families / "xlm-roberta"


@pytest.fixture(scope="module", params=["onnx-fp32", "torch"])
def reranker(request: pytest.FixtureRequest, xlm_roberta: Path, model_home: Path) -> Reranker:
    return load_reranker(str(xlm_roberta), settings_for(request.param, model_home))


def logits(folder: Path, passages: list[str]) -> list[float]:
    """Return what the model itself says, each pair alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = load_tokenizer(folder)
    found = []
    for passage in passages:
        ids = tokenizer.encode(QUERY, passage).ids
        with torch.inference_mode():
            found.append(float(model(input_ids=torch.tensor([ids])).logits[0, 0]))
    return found


def test_xlm_roberta_gives_its_own_raw_scores(reranker: Reranker, xlm_roberta: Path) -> None:
    together = reranker.score(QUERY, PASSAGES, None).scores  # of four lengths, so padded
    assert together == pytest.approx(logits(xlm_roberta, PASSAGES), abs=1e-4)


def test_xlm_roberta_reads_up_to_its_last_position(reranker: Reranker) -> None:
    assert reranker.card.max_tokens == 64
    long = " ".join(WORDS * 20)
    scoring = reranker.score(QUERY, [long, " ".join(WORDS * 3)], None)
    assert all(score is not None for score in scoring.scores)
    assert scoring.windows[0] is not None
    assert scoring.windows[1] is None


@pytest.mark.parametrize("backend", ["onnx-fp32", "torch"])
def test_mpnet_gives_its_own_embeddings(backend: str, families: Path, model_home: Path) -> None:
    folder = families / "mpnet"
    card = EncoderCard(str(folder), 32, 64, normalize=False)
    model = open_encoder(card, settings_for(backend, model_home))
    texts = [QUERY, "eggs", " ".join(WORDS * 3)]
    found = model.encode(texts, "document").embeddings
    model.close()
    reference = AutoModel.from_pretrained(folder).eval()
    for text, row in zip(texts, found, strict=True):
        ids = torch.tensor([model.tokenizer.encode(text).ids])
        with torch.inference_mode():
            expected = reference(input_ids=ids).last_hidden_state[0].mean(0).numpy()
        np.testing.assert_allclose(row, expected, atol=1e-4)


def test_weights_too_large_for_one_file_stand_beside_it(families: Path, xlm_roberta: Path) -> None:
    target = families / "apart" / "large.onnx"
    files = sorted(path.name for path in target.parent.iterdir())
    assert files == [target.name, data_file(target).name]
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    assert [node.name for node in session.get_inputs()] == ["input_ids", "attention_mask"]
    ids = load_tokenizer(xlm_roberta).encode(QUERY, PASSAGES[0]).ids
    batch = {"input_ids": [ids], "attention_mask": [[1] * len(ids)]}
    rows = session.run(None, {name: np.array(row) for name, row in batch.items()})[0]
    assert rows[0] == pytest.approx(logits(xlm_roberta, PASSAGES[:1])[0], abs=1e-4)


def test_weights_of_before_safetensors_are_found_and_read(
    xlm_roberta: Path, tmp_path: Path, model_home: Path
) -> None:
    old = tmp_path / "old"
    shutil.copytree(xlm_roberta, old)
    (old / "model.safetensors").unlink()
    model = AutoModelForSequenceClassification.from_pretrained(xlm_roberta)
    torch.save(model.state_dict(), old / "pytorch_model.bin")
    assert locate(str(old)) == old
    loaded = load_reranker(str(old), settings_for("torch", model_home))
    found = loaded.score(QUERY, PASSAGES, None).scores
    loaded.close()
    assert found == pytest.approx(logits(xlm_roberta, PASSAGES), abs=1e-4)
