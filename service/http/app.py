"""The HTTP application: thin, one router a resource."""

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from service import __version__
from service.http import collections, documents, health, metrics, search, sources, suggest
from service.http.error_responses import PROBLEMS, add_error_responses
from service.http.runtime import lifespan

_DESCRIPTION = """
Two-stage hybrid search that lives in the Postgres you already have: BM25 and embeddings find
candidates in one SQL function, a cross-encoder reranks them. Errors are RFC 9457 problem documents
that name the field, the value and the mend.
"""


def create_app() -> FastAPI:
    """Return the application; it connects when it starts to serve."""
    # /docs works where no network is.
    app = FastAPIOffline(
        title="Rankgres", version=__version__, description=_DESCRIPTION, lifespan=lifespan
    )
    for resource in (search, suggest, documents, sources, collections):
        app.include_router(resource.router, responses=dict(PROBLEMS))
    for resource in (health, metrics):
        app.include_router(resource.router)
    add_error_responses(app)
    return app
