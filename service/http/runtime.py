"""What every request needs of the process: the pool, the way to the workers, the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from service.db.connection import open_pool
from service.local.endpoints import database_url, redis_url
from service.search.search import Searcher
from service.search.task_sender import TaskSender
from service.settings import get_settings

#: Requests answered at once; more wait their turn. One database connection each.
MAX_CONCURRENT = 16


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open what the process shares, and close it at the end."""
    settings = get_settings()
    pool = open_pool(database_url(settings), max_size=MAX_CONCURRENT)
    app.state.searcher = Searcher(pool, TaskSender(redis_url(settings)), settings)
    try:
        yield
    finally:
        pool.close()


# async, so that it runs at once: anything else waits for a thread of its own.
async def _searcher(request: Request) -> Searcher:
    searcher = request.app.state.searcher
    assert isinstance(searcher, Searcher)
    return searcher


Runtime = Annotated[Searcher, Depends(_searcher)]
