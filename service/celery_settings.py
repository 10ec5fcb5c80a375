"""What every Celery application of Rankgres agrees on, the service's sender and the workers'.

Each setting stands with its reason.
"""

from typing import Any

from service.local.endpoints import celery_broker_url


def common_settings(redis_url: str) -> dict[str, Any]:
    """Return the settings that both sides of a queue share."""
    return {
        "broker_url": celery_broker_url(redis_url),
        # JSON only: a message can be read by eye, and unpickling runs whatever it is sent.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        # A worker asks for messages with waits of a second, which must fit into the socket's.
        "broker_transport_options": {
            "socket_connect_timeout": 1.0,
            "socket_timeout": 5.0,
            "retry_on_timeout": False,
            # A message is gone when taken (see the workers' task_acks_late): no copy of it is kept
            # in Redis until then. That copy cost 0.6 ms a call, 0.9 ms with 50 passages in it.
            "ack_emulation": False,
        },
        # A publish that fails is reported, not retried: a search degrades at once and says so, and
        # wake-ups are sent again anyway.
        "task_publish_retry": False,
        # Queues are declared by name where they are used; no exchanges to look up.
        "task_create_missing_queues": True,
        "enable_utc": True,
    }
