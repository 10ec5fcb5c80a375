"""The contract between the service and the workers: queues, tasks and Redis keys.

The service sends tasks by these names and never imports a worker.
"""

from typing import Final

#: Wake-ups for ingestion, which carry no document, so that losing one loses nothing; and samples of
#: a table that is to be attached, whose caller waits.
EMBED_QUEUE: Final = "embed"
#: Query embeddings, and sentences compared with one; a caller waits for each.
ENCODE_QUEUE: Final = "encode"
#: Reranking; a caller waits for each.
RERANK_QUEUE: Final = "rerank"
QUEUES: Final = (EMBED_QUEUE, ENCODE_QUEUE, RERANK_QUEUE)

EMBED_DOCUMENTS: Final = "rankgres.embed_documents"
ENCODE_QUERY: Final = "rankgres.encode_query"
COMPARE_SENTENCES: Final = "rankgres.compare_sentences"
RERANK_CANDIDATES: Final = "rankgres.rerank_candidates"
SAMPLE_DOCUMENTS: Final = "rankgres.sample_documents"

#: Which model of a cascade a reranking is for: ``stage`` of ``RERANK_CANDIDATES``.
FIRST_STAGE: Final = 1
SECOND_STAGE: Final = 2

#: ``{ALIVE_PREFIX}{queue}`` exists in Redis while some worker serves the queue: one look tells.
ALIVE_PREFIX: Final = "rankgres:alive:"
#: ``{PULSE_PREFIX}{queue}:{worker id}`` holds what each of them says of itself, as JSON.
PULSE_PREFIX: Final = "rankgres:pulse:"
#: ``{PULSES_PREFIX}{queue}`` is the set of their keys, so that nobody has to look through all keys
#: to find them; some may have ended since.
PULSES_PREFIX: Final = "rankgres:pulses:"
#: Seconds after which a silent worker counts as gone; it pulses three times as often.
PULSE_SECONDS: Final = 3
#: ``{QUERY_CACHE_PREFIX}{place}`` holds the sealed embedding of a query, as float32 bytes.
QUERY_CACHE_PREFIX: Final = "rankgres:query:"
#: ``{RESULT_PREFIX}{task id}`` is where Celery keeps and publishes a result; the name is Celery's.
RESULT_PREFIX: Final = "celery-task-meta-"
