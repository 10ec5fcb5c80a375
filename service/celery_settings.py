"""What every Celery application of Rankgres agrees on, the service's sender and the workers'.

Each setting stands with its reason.
"""

from typing import Any

from service.local.endpoints import celery_broker_url


def common_settings(redis_url: str) -> dict[str, Any]:
    """Return the settings that both sides of a queue share."""
    url = celery_broker_url(redis_url)
    # A caller is waiting: a broker that does not answer within a second is down for this search.
    quick = {
        "socket_connect_timeout": 1.0,
        "socket_timeout": 5.0,
        "retry_on_timeout": False,
        # One try: the search degrades at once and says so, rather than hang in a retry loop.
        "retry_policy": {"max_retries": 0, "timeout": 1.0},
    }
    return {
        "broker_url": url,
        "result_backend": url,
        # JSON only: a message can be read by eye, and unpickling runs whatever it is sent.
        "task_serializer": "json",
        "result_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        # Nobody reads a result later than its search's deadline; a minute covers slow callers.
        "result_expires": 60,
        # Results are worth nothing after a restart of Redis.
        "result_persistent": False,
        "broker_transport_options": quick,
        "result_backend_transport_options": quick,
        "redis_socket_connect_timeout": 1.0,
        "redis_socket_timeout": 5.0,
        "redis_retry_on_timeout": False,
        "redis_backend_health_check_interval": 0,
        # A publish that fails is reported, not retried: see above; wake-ups are sent again anyway.
        "task_publish_retry": False,
        # Queues are declared by name where they are used; no exchanges to look up.
        "task_create_missing_queues": True,
        "enable_utc": True,
    }
