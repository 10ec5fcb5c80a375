"""The commands for models need no stack: cards are data, and a probe is a process of its own."""

import json
import shutil
from pathlib import Path

from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER
from tests.support.stack import rankgres
from workers.inference.model_files import locate


def test_cards_are_listed_and_shown() -> None:
    listed = rankgres("model", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    names = [card["name"] for card in json.loads(listed.stdout)]
    assert {DEFAULT_ENCODER, DEFAULT_RERANKER} <= set(names)
    shown = rankgres("model", "show", "BAAI/bge-base-en-v1.5")
    assert "'Represent this sentence for searching relevant passages: '" in shown.stdout


def test_a_probed_card_is_saved_where_the_others_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    shutil.copytree(locate(DEFAULT_ENCODER), folder)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}')
    environment = {"RANKGRES_MODEL_CARDS": str(tmp_path / "cards"), "HF_HUB_OFFLINE": "1"}
    probed = rankgres("model", "probe", str(folder), "--save", environment=environment)
    assert probed.returncode == 0, probed.stderr
    assert "note:" in probed.stderr
    after = rankgres("model", "show", str(folder), "--json", environment=environment)
    card = json.loads(after.stdout)
    assert (card["dimension"], card["query_prompt"]) == (384, "q: ")


def test_a_model_that_cannot_be_probed_says_why() -> None:
    failed = rankgres("model", "probe", "nobody/x", environment={"HF_HUB_OFFLINE": "1"})
    assert failed.returncode == 2
    assert "HF_HUB_OFFLINE is set" in failed.stderr
    assert "mend:" in failed.stderr
