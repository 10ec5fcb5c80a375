"""Settings: read from RANKGRES_ environment variables, each documented where it is defined."""

from functools import cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.errors import InvalidInputError
from service.model_cards import DEFAULT_ENCODER, DEFAULT_RERANKER


class Settings(BaseSettings):
    """One immutable set of settings; ``RANKGRES_`` and the field's name make the variable."""

    model_config = SettingsConfigDict(env_prefix="RANKGRES_", frozen=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("rankgres")),
        description="Folder that holds the embedded stack: data, logs, sockets, exported models.",
    )
    database_url: str | None = Field(
        None,
        description="Postgres 16-18 with pgvector 0.8, as a libpq URL. "
        "Unset: the embedded Postgres of the stack found in RANKGRES_HOME.",
    )
    redis_url: str | None = Field(
        None,
        description="Redis, as redis://, rediss:// or unix:// URL. Unset: the stack's own.",
    )
    service_url: str | None = Field(
        None,
        description="Where the command line finds the service. Unset: the stack's own.",
    )
    service_host: str = Field(
        "127.0.0.1", description="Address the service listens on; 0.0.0.0 for every interface."
    )
    service_port: int = Field(
        8433, ge=0, le=65535, description="Port the service listens on; 0 picks a free one."
    )
    postgres_version: Literal[16, 18] = Field(
        18, description="Major version of a newly made embedded Postgres."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much the processes write to their logs."
    )

    embedding_model: str = Field(
        DEFAULT_ENCODER, description="Bi-encoder of new collections, and the one workers load."
    )
    reranker_model: str = Field(
        DEFAULT_RERANKER, description="Reranker that the reranking worker loads."
    )
    inference_backend: Literal["auto", "onnx", "torch"] = Field(
        "auto", description="auto: torch where CUDA is present, onnx (int8) elsewhere."
    )
    onnx_precision: Literal["int8", "fp32"] = Field(
        "int8", description="int8 is about twice as fast on a CPU, at cosine 0.99 to fp32."
    )
    inference_threads: int = Field(
        0,
        ge=0,
        description="CPU threads of a model: onnx runs one text on each; 0: one per physical core.",
    )
    torch_precision: Literal["fp16", "bf16", "fp32"] = Field(
        "fp16", description="Precision of the torch backend on CUDA; fp32 elsewhere."
    )
    torch_compile: bool = Field(
        default=False,
        description="Whether the torch backend compiles its models, which takes a minute at the "
        "start and needs a C++ compiler; try whether it pays with your model and device.",
    )
    batch_tokens: int = Field(
        32_768,
        ge=256,
        description="Padded tokens in one run of a model; bounds its memory. On a CPU fewer are "
        "faster, and runs are made of 256 to 1024.",
    )
    rerank_queue_tokens: int = Field(
        200_000,
        ge=1024,
        description="Most tokens that may wait for a reranking or an encoding worker's model; "
        "whoever comes then is told at once to come again later. It bounds what memory they take.",
    )
    model_folder: Path | None = Field(
        None, description="Where exported ONNX models are kept. Unset: RANKGRES_HOME/models."
    )

    model_cards: Path | None = Field(
        None,
        description="Folder of model cards as JSON, beside the ready ones; what 'rankgres model "
        "probe --save' writes. Read once when a process starts. Unset: RANKGRES_HOME/model-cards.",
    )
    rerank_url: str | None = Field(
        None,
        description="Where a reranker named cohere:, jina:, tei: or chat: is asked: the whole URL "
        "of its endpoint.",
    )
    rerank_api_key: SecretStr | None = Field(
        None, description="Key for that endpoint, sent as a bearer token; never logged."
    )
    embedding_url: str | None = Field(
        None,
        description="Where an embedding model named openai: is asked: the whole URL of its "
        "endpoint, such as https://api.openai.com/v1/embeddings.",
    )
    embedding_api_key: SecretStr | None = Field(
        None, description="Key for that endpoint, sent as a bearer token; never logged."
    )
    remote_timeout_seconds: float = Field(
        30.0, gt=0, description="Longest wait for one answer of a remote model."
    )
    truncated_share_limit: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Share of a collection's chunks that may be longer than the embedding model "
        "reads before ingestion warns.",
    )

    embed_batch_documents: int = Field(
        1024,
        ge=1,
        description="Most documents leased, embedded and written together; a slow model gets "
        "fewer, so that a batch takes about a second.",
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="A lease not finished in this time can be claimed again."
    )
    max_attempts: int = Field(
        5, ge=1, description="Failed tries after which a document becomes a dead letter."
    )
    hnsw_min_chunks: int = Field(
        2000,
        ge=0,
        description="Chunks from which a drained generation gets its HNSW index; "
        "below, exact search takes a few milliseconds and finds everything.",
    )

    verify_hours: float = Field(
        24.0,
        ge=0,
        description="How often every collection is compared with its source, and repaired where "
        "they differ, with a warning in the relay's log; 0: never.",
    )

    encode_timeout_ms: int = Field(
        1000, ge=1, description="Longest wait for a query embedding; then lexical order."
    )
    rerank_budget_ms: int = Field(
        200, ge=1, description="Default time for reranking; what is not scored keeps fused order."
    )
    rerank_candidates: int = Field(
        100,
        ge=1,
        le=1000,
        description="Most candidates that a reranking scores; how many it does follows from the "
        "budget, what they weigh, and what the workers say they can do.",
    )
    rerank_second_model: str | None = Field(
        None,
        description="A larger cross-encoder, which scores the best of what the first one scored, "
        "in what the budget leaves. Unset: none does.",
    )
    rerank_second_candidates: int = Field(
        20, ge=1, le=1000, description="How many of the best the second cross-encoder scores."
    )
    rerank_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the reranker's z-score beside the fused score's, which weighs 1: "
        "where neither the search, nor its collection, nor the model's card says. 3 or more lets "
        "a strong reranker decide.",
    )
    snippet_budget_ms: int = Field(
        60,
        ge=0,
        le=10_000,
        description="Longest wait for the sentences nearest to a query, which are shown of "
        "passages that have none of its words; 0: such passages show their beginning.",
    )
    query_cache_seconds: int = Field(
        86400, ge=0, description="How long Redis keeps a query's embedding; 0: not at all."
    )
    query_cache_entries: int = Field(
        20_000,
        ge=1,
        description="Most query embeddings in Redis, of 1.6 kB with 384 dimensions; each query has "
        "one place, in which a later one may take over.",
    )

    @property
    def card_folder(self) -> Path:
        """Return the folder of saved model cards."""
        return self.model_cards or self.home / "model-cards"

    @property
    def models(self) -> Path:
        """Return the folder of exported models."""
        return self.model_folder or self.home / "models"


@cache
def get_settings() -> Settings:
    """Read the environment once per process.

    Raises:
        InvalidInputError: a variable has a value that its setting cannot have.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        variable = f"RANKGRES_{'_'.join(str(part) for part in first['loc']).upper()}"
        raise InvalidInputError(
            f"{variable} is {first['input']!r}: {first['msg']}",
            field=variable,
            value=first["input"],
            mend=f"set it to another value, or unset it with: unset {variable}",
        ) from None
