"""The workers: Celery tasks, the relay, the janitors, and all that touches models."""
