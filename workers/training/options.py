"""The options of ``rankgres train``, shared by both of its commands."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_DATA = "What to learn from"
_MINING = "Hard negatives"
_MODEL = "The model"
_STEPS = "Steps"
_HELD_OUT = "Held-out queries"


class Loss(StrEnum):
    """What a reranker's scores are held against."""

    LISTNET = "listnet"
    LAMBDA = "lambda"


_File = {"exists": True, "dir_okay": False}

Collection = Annotated[
    str | None, typer.Argument(help="Collection to learn from; left out with --prepared.")
]
Name = Annotated[
    str | None,
    typer.Option(help="Name to register the model by, for the settings to name it."),
]
Output = Annotated[
    Path | None,
    typer.Option(file_okay=False, help="Folder for the model instead; nothing is registered."),
]
Queries = Annotated[
    Path | None,
    typer.Option(help="Judged queries, BEIR JSON Lines.", rich_help_panel=_DATA, **_File),
]
Qrels = Annotated[
    Path | None,
    typer.Option(help="Judgements of them, BEIR's or TREC's.", rich_help_panel=_DATA, **_File),
]
Log = Annotated[
    Path | None,
    typer.Option(
        help='Search log, JSON Lines: {"query": …, "clicked": [id, …], "shown": [id, …]}.',
        rich_help_panel=_DATA,
        **_File,
    ),
]
MinClicks = Annotated[
    int,
    typer.Option(min=1, help="Searches that must have opened a document.", rich_help_panel=_DATA),
]
Weak = Annotated[
    int,
    typer.Option(
        min=0,
        help="Headings and questions of the documents to learn from, at most so many.",
        rich_help_panel=_DATA,
    ),
]
PreparedFile = Annotated[
    Path | None,
    typer.Option(
        "--prepared",
        help='Lists, JSON Lines: {"query": …, "passages": […], "labels": […], "teacher": […]}.',
        rich_help_panel=_DATA,
        **_File,
    ),
]
HeldOutLists = Annotated[
    Path | None,
    typer.Option(
        help="Lists to measure with, instead of a part of --prepared.",
        rich_help_panel=_DATA,
        **_File,
    ),
]
PrepareTo = Annotated[
    Path | None,
    typer.Option(
        dir_okay=False,
        help="Only mine, and write the lists to this file for --prepared on another machine.",
        rich_help_panel=_DATA,
    ),
]
Depth = Annotated[int, typer.Option(min=2, help="Candidates asked for.", rich_help_panel=_MINING)]
Negatives = Annotated[
    int, typer.Option(min=1, help="Negatives taken of them.", rich_help_panel=_MINING)
]
SkipTop = Annotated[
    int,
    typer.Option(
        min=0, help="First unjudged candidates left out: answers perhaps.", rich_help_panel=_MINING
    ),
]
MostSimilar = Annotated[
    float,
    typer.Option(
        min=0,
        help="Left out above this part of the positive's similarity.",
        rich_help_panel=_MINING,
    ),
]
DenoiseBy = Annotated[
    str | None,
    typer.Option(
        help="Reranker whose word is taken: what it scores above the positive is left out.",
        rich_help_panel=_MINING,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(help="Model to start from: a folder or a name.", rich_help_panel=_MODEL),
]
Layers = Annotated[
    int | None,
    typer.Option(min=1, help="Keep its first so many layers. Unset: all.", rich_help_panel=_MODEL),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(min=16, help="What it reads at once, in tokens.", rich_help_panel=_MODEL),
]
LossName = Annotated[
    Loss, typer.Option("--loss", help="See docs/training.md.", rich_help_panel=_MODEL)
]
Teacher = Annotated[
    str | None,
    typer.Option(
        help="Bi-encoder whose order the warm-up learns. [default: RANKGRES_EMBEDDING_MODEL]",
        rich_help_panel=_MODEL,
    ),
]
TeacherWeight = Annotated[
    float,
    typer.Option(
        min=0, max=1, help="Part of the lists' own teacher scores.", rich_help_panel=_MODEL
    ),
]
TrainWordEmbeddings = Annotated[
    bool | None,
    typer.Option(
        "--train-word-embeddings/--freeze-word-embeddings",
        help="Unset: only on a GPU.",
        rich_help_panel=_MODEL,
    ),
]
Bf16 = Annotated[
    bool | None,
    typer.Option(
        "--bf16/--fp32",
        help="Mixed precision. Unset: where the processor multiplies bfloat16.",
        rich_help_panel=_MODEL,
    ),
]
WarmUpSteps = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Steps of the first phase. Unset: 150 where the base is no cross-encoder, else 0.",
        rich_help_panel=_STEPS,
    ),
]
WarmUpLearningRate = Annotated[
    float, typer.Option(min=0, help="Of the first phase.", rich_help_panel=_STEPS)
]
Epochs = Annotated[
    float,
    typer.Option(min=0, help="Times every list is learnt from.", rich_help_panel=_STEPS),
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps, instead of epochs.", rich_help_panel=_STEPS)
]
Batch = Annotated[
    int, typer.Option(min=1, help="Lists that are run together.", rich_help_panel=_STEPS)
]
Accumulate = Annotated[
    int, typer.Option(min=1, help="Batches that make one step.", rich_help_panel=_STEPS)
]
LearningRate = Annotated[
    float | None, typer.Option(min=0, help="Highest, in between.", rich_help_panel=_STEPS)
]
Seed = Annotated[
    int,
    typer.Option(min=0, help="Of the draws and the order.", rich_help_panel=_STEPS),
]
CheckpointMinutes = Annotated[
    float,
    typer.Option(min=0, help="Minutes between two checkpoints.", rich_help_panel=_STEPS),
]
HeldOutShare = Annotated[
    float,
    typer.Option(
        "--held-out",
        min=0,
        max=0.9,
        help="Share of the queries not learnt from.",
        rich_help_panel=_HELD_OUT,
    ),
]
MeasureSteps = Annotated[
    int, typer.Option(min=1, help="Steps between two measures.", rich_help_panel=_HELD_OUT)
]
Patience = Annotated[
    int,
    typer.Option(
        min=1, help="Measures without a gain after which it stops.", rich_help_panel=_HELD_OUT
    ),
]
Current = Annotated[
    str | None,
    typer.Option(
        help="Model to compare with. [default: the one of the settings]",
        rich_help_panel=_HELD_OUT,
    ),
]
License = Annotated[
    str,
    typer.Option("--license", help="Licence of the model, for its card.", rich_help_panel=_MODEL),
]
DataLicense = Annotated[
    list[str] | None,
    typer.Option(help="Licence of the data, for its card; repeatable.", rich_help_panel=_DATA),
]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew, whatever was begun before.")]
