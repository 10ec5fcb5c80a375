"""Run one worker process: ``python -m workers embed|encode|rerank|relay``."""

import logging
import signal
import sys
import threading

from celery.signals import worker_shutting_down

from service.local.endpoints import database_url, redis_url
from service.logs import set_up_logs
from service.settings import Settings, get_settings
from service.task_names import EMBED_QUEUE, ENCODE_QUEUE, QUEUES, RERANK_QUEUE
from workers.celery_app import make_app
from workers.pulse import Heart, PulseThread

log = logging.getLogger("workers")

#: Threads of a worker. Embedding: two for bulk work, one chunks and writes while the other's batch
#: is in the model; the third is free for changes that somebody waits for, see workers.bulk_turns.
#: Callers: as many as may wait at once; they share the model through its batcher.
_THREADS = {EMBED_QUEUE: 3, ENCODE_QUEUE: 16, RERANK_QUEUE: 16}


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
    model, backend = _load_model(queue, settings)
    app = make_app(redis_url(settings), queue)
    app.heart = Heart(redis_url(settings), queue, model, backend)
    worker_shutting_down.connect(lambda **_: app.heart.stop(), weak=False)
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


def _load_model(queue: str, settings: Settings) -> tuple[str, str]:
    """Load the model before any work is taken, and return its name and backend."""
    from workers import loaded_models

    if queue == RERANK_QUEUE:
        reranker = loaded_models.reranker(settings.reranker_model)
        return reranker.card.name, reranker.backend_name
    encoder = loaded_models.encoder(settings.embedding_model)
    return encoder.card.name, encoder.backend_name


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
