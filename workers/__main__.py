"""Run one worker process: ``python -m workers embed|encode|rerank|relay``."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from celery.signals import task_failure, worker_shutting_down

from service.local.endpoints import database_url, redis_url
from service.logs import set_up_logs
from service.settings import Settings, get_settings
from service.task_names import EMBED_QUEUE, ENCODE_QUEUE, QUEUES, RERANK_QUEUE
from workers.celery_app import make_app
from workers.inference.load import Load
from workers.pulse import BROKEN, Heart, PulseThread

log = logging.getLogger("workers")

#: Threads of a worker. Embedding: two for bulk work, one chunks and writes while the other's batch
#: is in the model; the third is free for changes that somebody waits for, see workers.bulk_turns.
#: Callers: as many as may wait at once; they share the model through its batcher, which refuses
#: whoever comes too late, and whom no thread takes cannot be refused.
_THREADS = {EMBED_QUEUE: 3, ENCODE_QUEUE: 64, RERANK_QUEUE: 64}

#: How long a thread of Python keeps the others waiting that want to run. The model's threads need
#: it for an instant, often; with Python's own 5 ms they stand idle while messages are read.
_SWITCH_SECONDS = 0.0005


def main() -> None:
    """Run the worker that the command line names."""
    role = sys.argv[1]
    settings = get_settings()
    set_up_logs(settings, role)
    if role in QUEUES:
        _run_worker(role, settings)
    else:
        _run_relay(settings)


def _run_worker(queue: str, settings: Settings) -> None:
    from workers import loaded_models

    # Batches of many shapes leave CUDA's allocator with pieces that it cannot join otherwise.
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
    sys.setswitchinterval(_SWITCH_SECONDS)
    model, backend, look = _load_model(queue, settings)
    app = make_app(redis_url(settings), queue)
    app.heart = Heart(redis_url(settings), queue, model, backend, look, warn=loaded_models.warnings)
    worker_shutting_down.connect(lambda **_: app.heart.stop(), weak=False)
    task_failure.connect(_end_without_memory, weak=False)
    app.Worker(
        pool="threads",
        concurrency=_THREADS[queue],
        queues=[queue],
        loglevel=settings.log_level,
        # No banner.
        quiet=True,
        # Workers need not know of each other.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
    ).start()


def _end_without_memory(exception: BaseException, **_: object) -> None:
    """End the process where a task found no memory: the next would find none either."""
    if isinstance(exception, MemoryError):
        log.critical("no memory is left; ending", exc_info=exception)
        os._exit(BROKEN)


def _load_model(queue: str, settings: Settings) -> tuple[str, str, Callable[[], Load]]:
    """Load the models before any work is taken; return name and backend, and how to look at them.

    Where a second reranker is set, what is told is of the first, and of both what waits.
    """
    from workers import loaded_models

    if queue != RERANK_QUEUE:
        encoder = loaded_models.encoder(settings.embedding_model)
        return encoder.card.name, encoder.backend_name, encoder.load
    first = loaded_models.reranker(settings.reranker_model)
    if settings.rerank_second_model is None:
        return first.card.name, first.backend_name, first.load
    second = loaded_models.reranker(settings.rerank_second_model)
    return first.card.name, first.backend_name, lambda: first.load().beside(second.load())


def _run_relay(settings: Settings) -> None:
    from service.search.task_sender import TaskSender
    from workers.relay_outbox import relay_outbox
    from workers.tend_generations import tend_generations

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sender = TaskSender(redis_url(settings))
    pulse = PulseThread(Heart(redis_url(settings), "relay", "", ""))
    pulse.start()
    janitors = threading.Thread(
        target=tend_generations, args=(database_url(settings), settings, stop), name="janitors"
    )
    janitors.start()
    relay_outbox(database_url(settings), sender.celery, sender.redis, stop)
    janitors.join()
    pulse.stop()


main()
