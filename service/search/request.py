"""A search as it is asked for."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from service.errors import InvalidInputError
from service.search.blend import GivenPart
from service.search.depth import LEAST_TIMES_K
from service.settings import get_settings
from service.storable import JsonObject, Text

#: Documents that a list to be paged through has at most, unless more are asked for.
PAGED_DOCUMENTS = 200
#: Documents that one search reranks at most.
MOST_RERANKED = 1000


def _require_words(query: str) -> str:
    if not query.strip():
        raise PydanticCustomError("empty", "no word in it", {"mend": "give at least one word"})
    return query


#: What is searched for.
Query = Annotated[Text, Field(max_length=65_536), AfterValidator(_require_words)]

#: What query_tokens takes for an exclusion, after a phrase, in which nothing is one.
_EXCLUSION = re.compile(
    r'(["\u201c-\u201e][^"\u201c-\u201e]*["\u201c-\u201e])'
    r"|(?<!\S)-(?!-)(?:(?:heading|title|text):(?=\S))?"
    r'(?:["\u201c-\u201e][^"\u201c-\u201e]*["\u201c-\u201e]|[^\s"\u201c-\u201e]+["\u201c-\u201e]*)',
    re.IGNORECASE,
)

_Score = Annotated[float, Field(allow_inf_nan=False)]


class RerankRequest(BaseModel):
    """How much to rerank, best first; what is null is the collection's, else the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidates: int | None = Field(
        None,
        ge=1,
        le=MOST_RERANKED,
        description="Documents that a cross-encoder scores at the most. How many it does follows "
        "from the budget: at least twice k where there are so many, and what it cannot score in "
        "time keeps its fused order.",
    )
    depth: int | None = Field(
        None,
        ge=1,
        le=MOST_RERANKED,
        description="Documents to score exactly, whatever the budget is expected to allow; at "
        "least k, at most candidates. Null: chosen by the budget.",
    )
    budget_ms: int = Field(
        default_factory=lambda: get_settings().rerank_budget_ms,
        ge=1,
        le=60_000,
        description="Milliseconds the whole reranking stage may take.",
    )
    adaptive: bool = Field(
        True,
        description="Score fewer where both stages agree and the first stands clear, by the rules "
        "that `rankgres tune --rerank` learned for the collection; without such rules, no less.",
    )
    weight: GivenPart | None = Field(
        None,
        description="What the cross-encoder's z-score counts where the fused score's counts 1.",
    )
    feedback: GivenPart | None = Field(
        None,
        description="What a document's likeness to the best of the reranked counts, by z-scores, "
        "where the order so far counts 1; 0: nothing. It gathers several relevant documents at "
        "the top, and does little where one alone is sought.",
    )

    def check(self, k: int) -> None:
        """Refuse a depth that goes with neither ``candidates`` nor the ``k`` asked for.

        Raises:
            InvalidInputError: names the two.
        """
        if self.depth is None:
            return
        if self.candidates is not None and self.depth > self.candidates:
            raise InvalidInputError(
                f"a depth of {self.depth} is more than the {self.candidates} candidates",
                field="rerank.depth",
                value=self.depth,
                mend="raise candidates, or leave it out",
            )
        if self.depth < k:
            raise InvalidInputError(
                f"a depth of {self.depth} leaves some of the {k} results unscored",
                field="rerank.depth",
                value=self.depth,
                mend="score at least k, better twice as many; or set candidates instead, which "
                "may be fewer",
            )

    def most(self, k: int, profiled: int | None) -> int:
        """Return how many documents are scored at the most.

        Args:
            k: documents asked for: of those there shall be twice as many to choose from.
            profiled: what the collection's rerank profile says.
        """
        if self.candidates is not None:
            return self.candidates
        unsaid = max(profiled or get_settings().rerank_candidates, LEAST_TIMES_K * k)
        return max(min(unsaid, MOST_RERANKED), self.depth or 0)


class SearchOptions(BaseModel):
    """What every caller may say of a search.

    What is null is taken from the collection's search profile, and where that is silent it is the
    default of ``rankgres.search_candidates``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: Query | None = Field(
        None,
        description='Words, or a question as one would ask it. Also "a phrase", -excluded, '
        "one OR another, heading:word and text:word. Needed unless there is a cursor.",
    )
    mode: Literal["lexical", "vector", "hybrid"] = Field(
        "hybrid", description="BM25 alone, nearest embeddings alone, or both fused."
    )
    k: int = Field(10, ge=1, le=1000, description="Documents to return.")
    filter: JsonObject | None = Field(
        None,
        description='Over metadata: {"lang": "en"}, {"year": {"gte": 2020}}, '
        '{"lang": {"in": ["en", "de"]}}, {"draft": {"exists": false}}, and/or/not of these.',
    )
    match: str | None = Field(
        None,
        pattern=r"^(any|all|[1-9][0-9]{0,5}|(100|[1-9]?[0-9])%)$",
        description="How many of the query's words and phrases a document must have to count as a "
        "lexical match: any, all, a number such as 3, or a share such as 75%.",
    )
    language: Text | None = Field(
        None,
        description="The query's language, such as de or german. Counts in collections that "
        "detect each document's; unset, a query is read in every language they have.",
    )
    correct: bool | None = Field(
        None,
        description="Correct misspelled words that no document has to ones that some have; "
        "`corrections` in the answer says which.",
    )
    heading_weight: float | None = Field(
        None,
        ge=0,
        le=1000,
        allow_inf_nan=False,
        description="What a word of the heading counts in BM25, where one of the text counts 1.",
    )
    fusion: (
        Literal["theoretical", "convex", "relative_score", "zscore", "distribution", "rrf"] | None
    ) = Field(
        None,
        description="How the two lists become one: theoretical sums scores scaled from their "
        "natural zeros, convex and relative_score from the list's lowest, zscore and distribution "
        "by mean and deviation; rrf sums 1 / (rrf_k + rank).",
    )
    lexical_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The lexical stage's share; the vector stage has the rest.",
    )
    rrf_k: int | None = Field(
        None, ge=1, le=1_000_000, description="Of fusion rrf: how little the first ranks differ."
    )
    stage_candidates: int | None = Field(
        None, ge=1, le=10_000, description="Documents that each of the two stages finds."
    )
    ef_search: int | None = Field(
        None, ge=1, le=1000, description="How far the HNSW search looks; more finds more, slower."
    )
    min_lexical_score: _Score | None = Field(
        None, description="Least BM25 score with which the lexical stage lists a document."
    )
    min_vector_score: _Score | None = Field(
        None, description="Least similarity with which the vector stage lists a document."
    )
    min_score: _Score | None = Field(
        None, description="Least fused score of a result, boosts included, before reranking."
    )
    autocut: int | None = Field(
        None,
        ge=0,
        le=1000,
        description="Stop before the fused score falls sharply for so many times; 0: never.",
    )
    recency: JsonObject | None = Field(
        None,
        description='Raise what is new: {"field": "published_at", "scale": "30 days"}; also '
        "offset, decay, shape (exp, gauss, linear), weight and origin.",
    )
    boosts: Annotated[list[JsonObject], Field(max_length=20)] | None = Field(
        None,
        description='Raise by numbers of the metadata: [{"field": "stars", "weight": 0.1}]; also '
        "shape (log, linear, sigmoid, reciprocal), scale, pivot and exponent.",
    )
    diversity: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Put what resembles earlier results further back (maximal marginal "
        "relevance): 0 not at all, 1 at any price; 0.3 is a beginning.",
    )
    deadline_ms: int | None = Field(
        None,
        ge=1,
        le=60_000,
        description="Milliseconds after which the candidate stage returns what it has; "
        "`complete` in the answer says whether that was all.",
    )
    timeout_ms: int | None = Field(
        None,
        ge=1,
        le=600_000,
        description="Milliseconds that the whole search may take: each stage takes its part of "
        "them, and one that finds too few left is left out and named in `degraded`. The header "
        "X-Request-Timeout-Ms says the same; the shorter counts.",
    )
    min_relevance: float | None = Field(
        None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Least `relevance` of a result. Where it is given, a document without any is "
        "cut too; `cut` in the answer counts them.",
    )
    passages: int = Field(3, ge=1, le=10, description="Passages to show of a document, at most.")
    facets: Annotated[list[Text], Field(max_length=20)] | None = Field(
        None,
        description="Fields of the metadata whose most frequent values to count, among all "
        "documents that the filter lets through and, unless mode is vector, that have a word of "
        "the query.",
    )
    page: bool = Field(
        default=False,
        description="Keep the list, so that `next_cursor` in the answer goes on with it: its first "
        f"{PAGED_DOCUMENTS} documents, or stage_candidates where that is more.",
    )
    explain: bool = Field(default=False, description="Also return what happened inside.")


class SearchRequest(SearchOptions):
    """One search of one collection; immutable, so nothing leaks from one query into the next."""

    collection: str
    query: Query
    rerank: RerankRequest | None = None

    @property
    def meaning(self) -> str:
        """Return the query as the models read it: what is excluded would draw results near."""
        kept = _EXCLUSION.sub(lambda found: found[1] or "", self.query)
        return kept if kept.strip() else self.query

    def candidates(self, reranked: int) -> int:
        """Return how many documents the candidate stage has to offer, so many to be reranked."""
        return max(
            self.k,
            reranked,
            max(PAGED_DOCUMENTS, self.stage_candidates or 0) if self.page else 0,
        )


class PageRequest(BaseModel):
    """The next ``k`` documents of a list that a search kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    collection: str
    cursor: str
    k: int = 10
