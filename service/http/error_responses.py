"""Every error as a problem document (RFC 9457) that names field, value and mend."""

import json
import logging
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from service.errors import InvalidInputError, RankgresError
from service.storable import UnstorableError, kind

log = logging.getLogger(__name__)

_MEND = "see the shape of this request in /docs"
_SHOWN_CHARACTERS = 200
_TYPE_PREFIX = "/problems/"


class Problem(BaseModel):
    """What is wrong (RFC 9457), with which field, and the mend."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/not-found",
                    "title": "What the caller named does not exist.",
                    "status": 404,
                    "detail": "there is no collection 'artikles'",
                    "field": "collection",
                    "value": "artikles",
                    "mend": "'rankgres collection list' shows what there is",
                }
            ]
        }
    )

    type: str = Field(description="Stable across releases.")
    title: str
    status: int
    detail: str
    field: str | None = None
    value: Any = None
    mend: str | None = None
    errors: list[dict[str, Any]] | None = Field(None, description="Where more than one is wrong.")


#: What OpenAPI says of every address that works on collections.
PROBLEMS: Mapping[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
    for status, description in (
        (404, "Something named is not there."),
        (422, "Something given is not acceptable."),
        (503, "Postgres cannot be reached; try again in a second."),
    )
}


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
        value=_shown(error.value),
        mend=error.mend,
    )


class ProblemResponse(JSONResponse):
    """A problem document; takes values that are no text or no number, as callers may send them."""

    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """Return JSON in ASCII alone: half a surrogate pair has no UTF-8."""
        return json.dumps(content).encode("ascii")


def _document(status: int, slug: str, title: str, **members: Any) -> JSONResponse:
    body = {"type": _TYPE_PREFIX + slug, "title": title, "status": status}
    body |= {name: value for name, value in members.items() if value is not None}
    headers = {"Retry-After": "1"} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return ProblemResponse(body, status, headers=headers)


def _rankgres_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RankgresError)
    return problem(error)


def _invalid_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    errors = [_validation_error(item, error.body) for item in error.errors()]
    return _document(
        InvalidInputError.status,
        InvalidInputError.slug,
        InvalidInputError.title(),
        **errors[0],
        errors=errors,
    )


def _validation_error(item: Any, body: Any) -> dict[str, Any]:
    if item["type"] == "json_invalid":
        return {
            "field": "body",
            "detail": f"the body is no JSON: {item['ctx']['error']} at character {item['loc'][1]}",
            "mend": "send one JSON object",
        }
    field, wrong, mend = _field(item["loc"], body), item["msg"], _MEND
    match item.get("ctx"):
        case {"error": UnstorableError() as cause}:
            field = ".".join(part for part in (field, cause.field) if part)
            wrong, mend = cause.wrong, cause.mend
        case {"mend": str() as known}:
            mend = known
    return {
        "field": field,
        "value": _shown(item.get("input")),
        "detail": f"{field}: {wrong}",
        "mend": mend,
    }


def _field(location: tuple[str | int, ...], body: Any) -> str:
    """Return the way to a field as the caller wrote it, without the names of our own types."""
    if location[0] != "body":
        return str(location[-1])
    way, here = [], body
    for place, part in enumerate(location[1:], start=2):
        if isinstance(here, list) and isinstance(part, int):
            here = here[part]
        elif isinstance(here, dict) and (part in here or place == len(location)):
            here = here.get(part)
        else:
            continue
        way.append(str(part))
    return ".".join(way) or "body"


def _shown(value: Any) -> str | int | float | bool | None:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, str):
        return value[:_SHOWN_CHARACTERS]
    return value if isinstance(value, int | float | None) else kind(value)


def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        # FastAPI's words for a body that its JSON reader gave up on.
        return _document(
            error.status_code,
            "malformed-body",
            "The body cannot be read.",
            detail="the body is not JSON in UTF-8, or nests too deep, or has a number too long",
            field="body",
            mend="send one JSON object in UTF-8",
        )
    return _document(
        error.status_code,
        "http-error",
        str(error.detail),
        detail=str(error.detail),
        mend="see /docs for every address and its methods",
    )


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem(RankgresError(mend="this is a defect of Rankgres; the service's log has more"))
