"""Settings: read from RANKGRES_ environment variables, each documented where it is defined."""

from functools import cache
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import Field, ValidationError
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
        DEFAULT_RERANKER, description="Cross-encoder that the reranking worker loads."
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
    batch_tokens: int = Field(
        8192, ge=256, description="Padded tokens in one run of a model; bounds its memory."
    )
    model_folder: Path | None = Field(
        None, description="Where exported ONNX models are kept. Unset: RANKGRES_HOME/models."
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
        400, ge=1, description="Default time for reranking; what is not scored keeps fused order."
    )
    rerank_candidates: int = Field(
        50, ge=1, le=1000, description="Default number of candidates offered to the reranker."
    )
    rerank_weight: float = Field(
        0.3,
        ge=0,
        description="Weight of the reranker's z-score beside the fused score's, which weighs 1. "
        "0.3 suits the bundled reranker; for a strong one, 3 or more lets it decide.",
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
