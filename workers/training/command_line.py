"""The commands of ``rankgres train``: options to a job, and its end told."""

import importlib.util
import json
import sys
from typing import Final

import typer
from rich.markup import escape

from service.cli.terminal import error_console
from service.db.driver_errors import translated
from service.errors import RankgresError
from service.model_cards import encoder_card
from service.settings import get_settings
from workers.inference.model_files import locate
from workers.inference.processors import cuda_present, multiplies_bf16
from workers.training import options
from workers.training.gathering import Sources
from workers.training.mining import MiningRules
from workers.training.recipe import Recipe
from workers.training.whole_job import Wish, run_job

#: Packages that training needs and serving does not.
_NEEDED: Final = ("torch", "sentence_transformers", "accelerate", "datasets")
_RERANKER_TOKENS: Final = 256
_WARM_UP_STEPS: Final = 150

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.command()
def reranker(
    collection: options.Collection = None,
    *,
    name: options.Name = None,
    output: options.Output = None,
    queries: options.Queries = None,
    qrels: options.Qrels = None,
    log: options.Log = None,
    min_clicks: options.MinClicks = 1,
    weak: options.Weak = 0,
    prepared: options.PreparedFile = None,
    held_out_lists: options.HeldOutLists = None,
    prepare_to: options.PrepareTo = None,
    depth: options.Depth = 50,
    negatives: options.Negatives = 7,
    skip_top: options.SkipTop = 1,
    most_similar: options.MostSimilar = 0.95,
    denoise_by: options.DenoiseBy = None,
    base: options.Base = None,
    layers: options.Layers = None,
    max_tokens: options.MaxTokens = None,
    loss: options.LossName = options.Loss.LISTNET,
    teacher: options.Teacher = None,
    teacher_weight: options.TeacherWeight = 0.5,
    train_word_embeddings: options.TrainWordEmbeddings = None,
    bf16: options.Bf16 = None,
    warm_up_steps: options.WarmUpSteps = None,
    warm_up_learning_rate: options.WarmUpLearningRate = 2e-4,
    epochs: options.Epochs = 1.0,
    steps: options.Steps = None,
    batch: options.Batch = 8,
    accumulate: options.Accumulate = 1,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 1,
    checkpoint_minutes: options.CheckpointMinutes = 5.0,
    held_out: options.HeldOutShare = 0.15,
    measure_steps: options.MeasureSteps = 100,
    patience: options.Patience = 5,
    current: options.Current = None,
    license_name: options.License = "",
    data_license: options.DataLicense = None,
    restart: options.Restart = False,
) -> None:
    """Train a cross-encoder: from judgements, search logs or weak labels of a collection.

    Mines hard negatives with the collection's own candidate stage, trains, keeps the model that
    orders held-out queries best, measures it against the current one, exports it to ONNX in int8
    and registers it. Repeat the same command to go on with a job that was stopped or killed.

    Example: rankgres train reranker articles --name ours --queries q.jsonl --qrels q.tsv
    """
    _require_packages()
    settings = get_settings()
    sources = Sources(
        collection, queries, qrels, log, min_clicks, weak, prepared, held_out_lists, denoise_by,
        MiningRules(depth, negatives, skip_top=skip_top, most_similar=most_similar, seed=seed),
    )  # fmt: skip
    start = base or settings.embedding_model
    recipe = Recipe(
        kind="reranker",
        base=start,
        current=current or settings.reranker_model,
        layers=layers,
        max_tokens=max_tokens or _RERANKER_TOKENS,
        loss=loss.value,
        epochs=None if steps else epochs,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate or 5e-5,
        warm_up_steps=_warm_up_steps(start) if warm_up_steps is None else warm_up_steps,
        warm_up_learning_rate=warm_up_learning_rate,
        teacher=teacher or settings.embedding_model,
        teacher_weight=teacher_weight,
        freeze_word_embeddings=not (
            cuda_present() if train_word_embeddings is None else train_word_embeddings
        ),
        bf16=multiplies_bf16() if bf16 is None else bf16,
        seed=seed,
        held_out=held_out,
        measure_steps=measure_steps,
        patience=patience,
        checkpoint_minutes=checkpoint_minutes,
    )
    wish = Wish(name, output, prepare_to, license_name, tuple(data_license or ()), restart)
    run_job(sources, recipe, wish, settings, sys.argv[1:])


@app.command()
def encoder(
    collection: options.Collection = None,
    *,
    name: options.Name = None,
    output: options.Output = None,
    queries: options.Queries = None,
    qrels: options.Qrels = None,
    log: options.Log = None,
    min_clicks: options.MinClicks = 1,
    weak: options.Weak = 0,
    prepared: options.PreparedFile = None,
    held_out_lists: options.HeldOutLists = None,
    prepare_to: options.PrepareTo = None,
    depth: options.Depth = 50,
    negatives: options.Negatives = 7,
    skip_top: options.SkipTop = 1,
    most_similar: options.MostSimilar = 0.95,
    denoise_by: options.DenoiseBy = None,
    base: options.Base = None,
    max_tokens: options.MaxTokens = None,
    train_word_embeddings: options.TrainWordEmbeddings = None,
    bf16: options.Bf16 = None,
    epochs: options.Epochs = 1.0,
    steps: options.Steps = None,
    batch: options.Batch = 16,
    accumulate: options.Accumulate = 1,
    learning_rate: options.LearningRate = None,
    seed: options.Seed = 1,
    checkpoint_minutes: options.CheckpointMinutes = 5.0,
    held_out: options.HeldOutShare = 0.15,
    measure_steps: options.MeasureSteps = 100,
    patience: options.Patience = 5,
    current: options.Current = None,
    license_name: options.License = "",
    data_license: options.DataLicense = None,
    restart: options.Restart = False,
) -> None:
    """Train a bi-encoder: from judgements, search logs or weak labels of a collection.

    Like rankgres train reranker; what is registered can be a new generation's embedding model.

    Example: rankgres train encoder articles --name ours --weak 20000
    """
    _require_packages()
    settings = get_settings()
    sources = Sources(
        collection, queries, qrels, log, min_clicks, weak, prepared, held_out_lists, denoise_by,
        MiningRules(
            depth, negatives, skip_top=skip_top, most_similar=most_similar, seed=seed,
            separator="\n",
        ),
    )  # fmt: skip
    start = base or settings.embedding_model
    recipe = Recipe(
        kind="encoder",
        base=start,
        current=current or settings.embedding_model,
        layers=None,
        max_tokens=max_tokens or encoder_card(start).max_tokens,
        loss="multiple negatives ranking",
        epochs=None if steps else epochs,
        steps=steps,
        batch=batch,
        accumulate=accumulate,
        learning_rate=learning_rate or 2e-5,
        warm_up_steps=0,
        warm_up_learning_rate=0.0,
        teacher="",
        teacher_weight=0.0,
        freeze_word_embeddings=not (
            cuda_present() if train_word_embeddings is None else train_word_embeddings
        ),
        bf16=multiplies_bf16() if bf16 is None else bf16,
        seed=seed,
        held_out=held_out,
        measure_steps=measure_steps,
        patience=patience,
        checkpoint_minutes=checkpoint_minutes,
    )
    wish = Wish(name, output, prepare_to, license_name, tuple(data_license or ()), restart)
    run_job(sources, recipe, wish, settings, sys.argv[1:])


def main() -> None:
    """Run the command line; an error of ours is printed with its mend, and ends it with 2."""
    try:
        with translated():
            app(prog_name="rankgres train")
    except RankgresError as error:
        error_console.print(f"[red]error:[/red] {escape(error.detail)}", soft_wrap=True)
        if error.mend:
            error_console.print(f"[yellow] mend:[/yellow] {escape(error.mend)}", soft_wrap=True)
        sys.exit(2)


def _require_packages() -> None:
    missing = [package for package in _NEEDED if importlib.util.find_spec(package) is None]
    if missing:
        raise RankgresError(
            f"training needs {', '.join(missing)}", mend="pip install 'rankgres[train]'"
        )


def _warm_up_steps(base: str) -> int:
    """Return the steps that a base needs before it learns from labels; a cross-encoder none."""
    config = json.loads((locate(base) / "config.json").read_text(encoding="utf-8"))
    architectures = config.get("architectures") or [""]
    return 0 if "SequenceClassification" in architectures[0] else _WARM_UP_STEPS
