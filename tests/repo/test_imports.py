"""The import rules of the design: the service never loads a model, nor what runs one."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.repository import ROOT, python_files, relative

#: What runs a model. A tokenizer runs none: chunking counts with it outside of inference.
MODEL_PACKAGES = {"torch", "onnxruntime", "transformers", "sentence_transformers"}
SERVICE_FORBIDS = MODEL_PACKAGES | {"tokenizers", "workers", "onnx", "onnxscript"}


def imported_names(source: str) -> Iterator[str]:
    """Yield every module that a source names in an import, in a function or by a literal too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            name = node.args[0]
            if (
                called in {"import_module", "__import__", "run_module"}
                and isinstance(name, ast.Constant)
                and isinstance(name.value, str)
            ):
                yield name.value


def forbidden_imports(files: list[Path], forbidden: set[str]) -> list[str]:
    """Return ``file: module`` for each import of a forbidden module or of anything in it."""
    return [
        f"{relative(path)}: {name}"
        for path in files
        for name in imported_names(path.read_text(encoding="utf-8"))
        if any(name == module or name.startswith(f"{module}.") for module in forbidden)
    ]


@pytest.mark.parametrize(
    "source",
    [
        "import torch.nn as nn",
        "def late():\n    from torch import nn",
        "import importlib\nimportlib.import_module('torch.nn')",
        "if True:\n    __import__('torch')",
    ],
)
def test_the_rule_sees_every_way_to_import(source: str) -> None:
    assert any(name.split(".")[0] == "torch" for name in imported_names(source))


@pytest.mark.parametrize("source", ["import torchless", "from . import torch", "x = 'torch'"])
def test_the_rule_sees_nothing_where_nothing_is_imported(source: str) -> None:
    assert not any(name.split(".")[0] == "torch" for name in imported_names(source))


def test_service_and_migrations_import_no_model_code_and_no_worker() -> None:
    files = python_files("service", "migrations")
    assert len(files) > 1
    assert forbidden_imports(files, SERVICE_FORBIDS) == []


def test_models_are_touched_where_they_are_run_and_trained_alone() -> None:
    files = [
        path
        for path in python_files("workers")
        if not relative(path).startswith(("workers/inference/", "workers/training/"))
    ]
    assert files
    assert forbidden_imports(files, MODEL_PACKAGES) == []


def test_revisions_import_nothing_that_changes_with_the_code() -> None:
    files = [path for path in python_files("migrations") if path.parent.name == "versions"]
    assert files
    assert forbidden_imports(files, {"service", "workers"}) == []


@pytest.mark.parametrize("module", ["service.http.app", "service.cli"])
def test_starting_the_service_loads_no_model_code(module: str) -> None:
    program = f"import json, sys, {module}; json.dump(sorted(sys.modules), sys.stdout)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    packages = {name.split(".")[0] for name in json.loads(loaded)}
    assert "service" in packages
    assert packages & SERVICE_FORBIDS == set()
