"""Service client: what the command line sends to the HTTP service, and how problems come back."""

from json import dumps
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from service.errors import (
    AlreadyExistsError,
    DatabaseUnavailableError,
    InvalidInputError,
    ModelUnavailableError,
    NotAllowedError,
    NotFoundError,
    RankgresError,
    SchemaMismatchError,
    SourceUnreadableError,
    StackNotRunningError,
)

_BY_SLUG = {
    error.slug: error
    for error in (
        AlreadyExistsError,
        DatabaseUnavailableError,
        InvalidInputError,
        ModelUnavailableError,
        NotAllowedError,
        NotFoundError,
        SchemaMismatchError,
        SourceUnreadableError,
        StackNotRunningError,
    )
}


class ServiceClient:
    """A connection to one service; may be used from several threads at once.

    Args:
        base_url: Address of the service.
        timeout: Seconds to wait for one answer.
    """

    def __init__(self, base_url: str, timeout: float = 60) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=timeout)

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._http.close()

    def get(self, path: str) -> Any:
        """Return what the service answers; raises like ``post``."""
        return self._send("GET", path)

    def post(self, path: str, json: Any) -> Any:
        """Send a JSON body and return the JSON answer.

        Raises:
            RankgresError: the service cannot be reached, or answered with a problem; the problem's
                own class where it is one of ours.
        """
        return self._send("POST", path, json)

    def _send(self, method: str, path: str, json: Any = None) -> Any:
        try:
            # In ASCII: an argument of the shell may hold bytes that are no text, and the service
            # says so better than an encoder does.
            content = None if json is None else dumps(json)
            response = self._http.request(
                method, path, content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            raise StackNotRunningError(
                f"no answer from the service at {self._http.base_url}: {error}",
                field="service_url",
                value=str(self._http.base_url),
                mend="start it with 'rankgres up', or set RANKGRES_SERVICE_URL",
            ) from error
        if response.is_success:
            return response.json()
        raise _problem(response)


def search_path(collection: str) -> str:
    """Return the address of a collection's searches, whatever its name holds."""
    return f"/collections/{quote(collection, safe='', errors='replace')}/search"


def _problem(response: httpx.Response) -> RankgresError:
    """Return the error that a problem document (RFC 9457) tells of."""
    if "problem+json" not in response.headers.get("content-type", ""):
        return RankgresError(f"the service answered {response.status_code}: {response.text[:200]}")
    problem = response.json()
    slug = str(problem.get("type", "")).rstrip("/").rpartition("/")[2]
    return _BY_SLUG.get(slug, RankgresError)(
        problem.get("detail"),
        field=problem.get("field"),
        value=problem.get("value"),
        mend=problem.get("mend"),
    )
