"""Probing a model: its card out of its own files, and where a card contradicts them."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from service.errors import ModelUnavailableError
from service.model_cards import (
    DEFAULT_ENCODER,
    DEFAULT_RERANKER,
    EncoderCard,
    RerankerCard,
    encoder_card,
)
from service.settings import Settings
from tests.inference.conftest import settings_for
from tests.support.model_endpoint import ModelEndpoint
from workers.inference.encoder import open_encoder
from workers.inference.model_facts import contradictions, is_multi_vector, read_facts
from workers.inference.model_files import locate
from workers.inference.model_probe import probe, probed_reranker_card

SETTINGS = Settings()
BERT = {"architectures": ["BertModel"], "hidden_size": 384, "max_position_embeddings": 512}


def write(folder: Path, **files: Any) -> Path:
    """Write a model's small files, and empty ones for the rest; ``__`` stands for a slash."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path = path if path.suffix else path.with_suffix(".json")
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, encoding="utf-8")
    for name in ("tokenizer.json", "model.safetensors"):
        (folder / name).touch()
    return folder


def modules(*names: str) -> list[dict[str, str]]:
    return [
        {
            "type": f"sentence_transformers.models.{name}",
            "path": f"{number}_{name}" if number else "",
        }
        for number, name in enumerate(names)
    ]


@pytest.fixture
def e5_like(tmp_path: Path) -> Path:
    """A bi-encoder whose files say everything."""
    return write(
        tmp_path / "e5",
        config=BERT,
        modules=modules("Transformer", "Pooling", "Normalize"),
        sentence_bert_config={"max_seq_length": 300},
        config_sentence_transformers={
            "prompts": {"query": "query: ", "document": "passage: "},
            "similarity_fn_name": "dot",
        },
        **{
            "1_Pooling__config": {"word_embedding_dimension": 384, "pooling_mode_cls_token": True},
            "README.md": "---\nlanguage:\n- en\n- de\n- zh\nlicense: mit\n---\n# Model",
        },
    )


def test_the_default_encoders_files_say_what_its_card_says() -> None:
    found = probe(DEFAULT_ENCODER, SETTINGS).card
    card = encoder_card(DEFAULT_ENCODER)
    assert isinstance(found, EncoderCard)
    assert found.license.lower() == card.license.lower()
    for field in ("dimension", "max_tokens", "pooling", "normalize", "languages", "distance"):
        assert getattr(found, field) == getattr(card, field)
    assert contradictions(card, read_facts(locate(DEFAULT_ENCODER))) == []


def test_everything_that_the_files_say_is_on_the_card(e5_like: Path) -> None:
    found = probe(str(e5_like), SETTINGS)
    assert found.card == EncoderCard(
        str(e5_like),
        384,
        300,
        pooling="cls",
        query_prompt="query: ",
        document_prompt="passage: ",
        license="mit",
        languages=("english", "german", "auto"),
        distance="inner_product",
    )
    assert found.notes == []


def test_what_nothing_says_is_assumed_and_told(tmp_path: Path) -> None:
    found = probe(str(write(tmp_path, config=BERT)), SETTINGS)
    assert found.card == EncoderCard(str(tmp_path), 384, 512, normalize=False)
    told = " ".join(found.notes)
    assert all(word in told for word in ("pooling", "prompt", "licence", "distance"))
    assert "max_tokens" not in told


def test_modules_that_only_torch_runs_are_told(tmp_path: Path) -> None:
    folder = write(tmp_path, config=BERT, modules=modules("Transformer", "Pooling", "Dense"))
    assert any("Dense" in note and "torch" in note for note in probe(str(folder), SETTINGS).notes)


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        (
            {
                **BERT,
                "model_type": "xlm-roberta",
                "max_position_embeddings": 514,
                "pad_token_id": 1,
            },
            512,
        ),
        ({**BERT, "model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({**BERT, "model_type": "bert", "pad_token_id": 0}, 512),
    ],
)
def test_positions_that_padding_takes_are_not_counted(
    config: dict[str, Any], tokens: int, tmp_path: Path
) -> None:
    assert read_facts(write(tmp_path, config=config)).max_tokens == tokens


def test_a_tokenizers_limit_counts_unless_it_is_none(tmp_path: Path) -> None:
    write(tmp_path, config=BERT, tokenizer_config={"model_max_length": 10**30})
    assert read_facts(tmp_path).max_tokens == 512
    write(tmp_path, tokenizer_config={"model_max_length": 128})
    assert read_facts(tmp_path).max_tokens == 128


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (
            {"config": {"architectures": ["XForSequenceClassification"], "id2label": {"0": "a"}}},
            "cross-encoder",
        ),
        ({"config": {"architectures": ["HF_ColBERT"]}}, "late-interaction"),
        (
            {"config": BERT, "config_sentence_transformers": {"model_type": "ColBERT"}},
            "late-interaction",
        ),
        (
            {"config": BERT, "config_sentence_transformers": {"model_type": "MultiVectorEncoder"}},
            "late-interaction",
        ),
        (
            {"config": BERT, "config_sentence_transformers": {"model_type": "SparseEncoder"}},
            "sparse",
        ),
        ({"config": {"architectures": ["XForSequenceClassification"]}}, "classifier"),
        ({"config": BERT}, "bi-encoder"),
    ],
)
def test_the_kind_is_read_from_the_files(files: dict[str, Any], kind: str, tmp_path: Path) -> None:
    folder = write(tmp_path, **files)
    assert read_facts(folder).kind == kind
    assert is_multi_vector(folder) == (kind == "late-interaction")
    if kind in {"sparse", "classifier"}:
        with pytest.raises(ModelUnavailableError, match="of no use here"):
            probe(str(folder), SETTINGS)
    elif kind == "bi-encoder":
        assert isinstance(probe(str(folder), SETTINGS).card, EncoderCard)
    else:
        card = probe(str(folder), SETTINGS).card
        assert isinstance(card, RerankerCard)
        assert card.kind == kind


def test_broken_files_say_nothing(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        config=BERT,
        modules="[",
        sentence_bert_config="no",
        config_sentence_transformers="[]",
    )
    assert read_facts(folder).pooling is None
    assert read_facts(folder).max_tokens == 512


def test_a_card_is_held_against_the_files(e5_like: Path) -> None:
    wrong = EncoderCard(str(e5_like), 384, 512, pooling="cls", query_prompt="search: ")
    told = contradictions(wrong, read_facts(e5_like))
    assert len(told) == 3
    assert all(each.startswith(f"{e5_like} ") for each in told)
    assert "query_prompt 'search: '" in told[0]
    assert "'query: '" in told[0]
    assert "document_prompt ''" in told[1]
    assert "512 tokens" in told[2]
    found = probe(str(e5_like), SETTINGS).card
    assert isinstance(found, EncoderCard)
    assert contradictions(found, read_facts(e5_like)) == []


def test_an_encoder_loaded_with_a_wrong_prompt_says_so(
    tmp_path: Path, model_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "all-MiniLM-L6-v2"  # of this name its export is there already
    shutil.copytree(locate(DEFAULT_ENCODER), folder)
    (folder / "config_sentence_transformers.json").write_text('{"prompts": {"query": "q: "}}')
    with caplog.at_level(logging.WARNING, "workers.inference.encoder"):
        model = open_encoder(
            EncoderCard(str(folder), 384, 256), settings_for("onnx-int8", model_home)
        )
    model.close()
    assert len(model.warnings) == 1
    assert "query_prompt ''" in caplog.text
    assert "'q: '" in caplog.text


def test_an_unknown_reranker_is_probed_and_shown(caplog: pytest.LogCaptureFixture) -> None:
    folder = str(locate(DEFAULT_RERANKER))
    with caplog.at_level(logging.WARNING, "workers.inference.model_probe"):
        card = probed_reranker_card(folder, SETTINGS)
    assert (card.name, card.kind, card.max_tokens) == (folder, "late-interaction", 512)
    assert '"max_tokens": 512' in caplog.text


def test_an_encoder_is_no_reranker_unless_it_interacts_late() -> None:
    folder = str(locate(DEFAULT_ENCODER))
    with pytest.raises(ModelUnavailableError) as caught:
        probed_reranker_card(folder, SETTINGS)
    assert f"late:{folder}" in (caught.value.mend or "")
    assert probed_reranker_card(f"late:{folder}", SETTINGS).kind == "late-interaction"


def test_a_remote_encoder_is_asked_for_its_dimension() -> None:
    def answer(body: Any) -> Any:
        return {"data": [{"index": 0, "embedding": [0.5] * 12}], "model": body["model"]}

    with ModelEndpoint(answer) as endpoint:
        found = probe("openai:any", Settings(embedding_url=endpoint.url))
    assert isinstance(found.card, EncoderCard)
    assert (found.card.dimension, found.card.kind) == (12, "remote")
    assert any("how much" in note for note in found.notes)
