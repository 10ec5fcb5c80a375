import os
from pathlib import Path

import torch

from service.settings import Settings
from workers.inference.backend import TokenSequence, choose_backend, pad
from workers.inference.processors import cuda_present, physical_cores


def test_auto_is_torch_exactly_where_torch_finds_cuda() -> None:
    expected = "torch" if torch.cuda.is_available() else "onnx"
    assert choose_backend(Settings(inference_backend="auto")) == expected


def test_a_named_backend_is_taken_as_named() -> None:
    assert choose_backend(Settings(inference_backend="torch")) == "torch"
    assert choose_backend(Settings(inference_backend="onnx")) == "onnx"


def test_cuda_is_not_missed_where_torch_finds_it() -> None:
    assert cuda_present() or not torch.cuda.is_available()


def test_cores_are_at_least_one_and_at_most_what_the_process_may_use() -> None:
    assert 1 <= physical_cores() <= len(os.sched_getaffinity(0))


def test_padding_is_masked_and_carries_the_models_own_id() -> None:
    batch = pad([TokenSequence([5, 6, 7], [0, 0, 1], 3), TokenSequence([5], [0], 1)], pad_id=9)
    assert batch.ids.tolist() == [[5, 6, 7], [5, 9, 9]]
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.type_ids.tolist() == [[0, 0, 1], [0, 0, 0]]


def test_no_source_of_the_library_loads_torch_but_its_own_backend() -> None:
    inference = Path(__file__).parents[2] / "workers" / "inference"
    importing = {
        path.name for path in inference.glob("*.py") if "\nimport torch\n" in path.read_text()
    }
    assert importing == {
        "late_interaction.py",
        "late_pairs.py",
        "onnx_export.py",
        "torch_backend.py",
    }
