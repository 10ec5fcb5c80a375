"""Every error as a problem document (RFC 9457) that names field, value and mend."""

import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import InvalidInputError, RankgresError

log = logging.getLogger(__name__)

_MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "/problems/"


def add_error_responses(app: FastAPI) -> None:
    """Have the application answer every error with a problem document."""
    app.add_exception_handler(RankgresError, _rankgres_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)


def problem(error: RankgresError) -> JSONResponse:
    """Return the problem document of an error."""
    return _document(
        error.status,
        error.slug,
        error.title(),
        detail=error.detail,
        field=error.field,
        value=error.value,
        mend=error.mend,
    )


def _document(status: int, slug: str, title: str, **members: Any) -> JSONResponse:
    body = {"type": _TYPE_PREFIX + slug, "title": title, "status": status}
    body |= {name: value for name, value in members.items() if value is not None}
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return JSONResponse(body, status, headers=headers, media_type=_MEDIA_TYPE)


def _rankgres_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RankgresError)
    return problem(error)


def _invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_validation_error(item) for item in error.errors()]
    first = errors[0]
    return _document(
        InvalidInputError.status,
        InvalidInputError.slug,
        InvalidInputError.title(),
        detail=first["detail"],
        field=first["field"],
        value=first["value"],
        mend="see the shape of this request in /docs",
        errors=errors,
    )


def _validation_error(item: Any) -> dict[str, Any]:
    # The first part says body, query or path.
    field = ".".join(str(part) for part in item["loc"][1:]) or "body"
    value = item.get("input")
    shown = value if isinstance(value, str | int | float | bool | None) else type(value).__name__
    if isinstance(shown, str):
        shown = shown[:200]
    return {"field": field, "value": shown, "detail": f"{field}: {item['msg']}"}


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _document(error.status_code, "http-error", str(error.detail), detail=str(error.detail))


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(RankgresError(mend="this is a defect of Rankgres; the service's log has more"))
