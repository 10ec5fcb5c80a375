"""The workers' Celery application. What both sides share is in ``service.celery_settings``."""

from celery import Celery

from service.celery_settings import common_settings
from service.local.endpoints import celery_broker_url

#: The modules of the tasks that each queue carries, one task a module.
TASK_MODULES = {
    "embed": ["workers.embed_documents", "workers.sample_documents"],
    "encode": ["workers.encode_query", "workers.compare_sentences"],
    "rerank": ["workers.rerank_candidates"],
}


def make_app(redis_url: str, queue: str) -> Celery:
    """Return an application that serves one queue; its tasks are imported with it."""
    app = Celery("rankgres", include=TASK_MODULES[queue])
    app.conf.update(
        common_settings(redis_url),
        # Threads, not forks: one model serves them all through its batcher, and CUDA does not
        # survive a fork.
        worker_pool="threads",
        # Results go where the service reads them.
        # Before the + stands the class, after it the URL as a backend wants it: socket://, redis://.
        result_backend="workers.answer_backend:AnswerBackend+"
        + celery_broker_url(redis_url).removeprefix("redis+"),
        # Nobody reads a result later than its search's deadline; a minute covers slow callers.
        result_expires=60,
        # A result that cannot be stored is lost, and its caller degrades: a thread that tried again
        # and again would keep others waiting.
        result_backend_transport_options={"retry_policy": {"max_retries": 0, "timeout": 1.0}},
        redis_socket_connect_timeout=1.0,
        redis_socket_timeout=5.0,
        redis_retry_on_timeout=False,
        # A thread takes one message and no more: what waits stays visible in Redis, and expires.
        worker_prefetch_multiplier=1,
        # A message is gone when taken. Wake-ups are sent again by the relay, and a caller whose
        # worker died has long degraded: redelivery would repeat work that nobody waits for.
        task_acks_late=False,
        # Events and states that nobody reads.
        task_track_started=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_enable_remote_control=False,
        # Redis may come later than the worker, and come back at any time: never give up.
        worker_consumer="workers.steady_consumer:SteadyConsumer",
        broker_connection_retry_on_startup=True,
        broker_connection_retry=True,
        # After a lost connection the tasks under way go on: they owe nothing to the broker.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # Logging is set up once, by the command line.
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
    )
    return app
