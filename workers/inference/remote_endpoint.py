"""One endpoint of a remote model: asked with JSON, its refusals told apart."""

import email.utils
import json
import logging
import math
import ssl
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final

import httpx
from pydantic import SecretStr

from service.errors import InvalidInputError, ModelUnavailableError, RankgresError
from workers.inference.backend import DeadlineExceededError, ModelBusyError

#: It writes a line a request, with the whole URL, into which somebody may have put a key.
logging.getLogger("httpx").setLevel(logging.WARNING)

#: Where the endpoint says it is busy, and not for how long. Doubled up to the longest, each time.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
#: Of an answer that is an error; more would fill logs with whole pages of HTML.
_SHOWN_CHARACTERS: Final = 300

_BUSY: Final = frozenset({httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE})
_REFUSED_INPUT: Final = frozenset(
    {
        httpx.codes.BAD_REQUEST,
        httpx.codes.REQUEST_ENTITY_TOO_LARGE,
        httpx.codes.UNPROCESSABLE_ENTITY,
        httpx.codes.FAILED_DEPENDENCY,
    }
)
_REFUSED_KEY: Final = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


class InputRefusedError(RankgresError):
    """A remote model does not take this input."""

    status: ClassVar[int] = 502
    slug: ClassVar[str] = "input-refused"


class RemoteEndpoint:
    """Asks one URL; any number of threads may share it, and its connections are kept open."""

    def __init__(self, url: str, key: SecretStr | None, timeout: float, *, setting: str) -> None:
        self.url = url
        self._key = key
        self._setting = setting
        self._timeout = timeout
        headers = {"User-Agent": "rankgres"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        try:
            address = httpx.URL(url)
            usable = address.scheme in {"http", "https"} and bool(address.host)
            headers_sent = httpx.Headers(headers)
        except (httpx.InvalidURL, UnicodeError):
            usable = False
        if not usable:
            raise InvalidInputError(
                "the address or the key of the remote model cannot be used",
                field=setting,
                mend="give a whole URL, beginning with http:// or https://, and a key of ASCII",
            )
        self._client = httpx.Client(
            headers=headers_sent, timeout=timeout, verify=_trusted_certificates()
        )
        self._pause = _FIRST_PAUSE

    def ask(self, body: Mapping[str, Any], deadline: float | None = None) -> Any:
        """Send the body and return the answer's JSON.

        Args:
            body: what becomes JSON; text that is no Unicode is sent with its place marked.
            deadline: on the clock of ``time.monotonic``, in seconds.

        Raises:
            DeadlineExceededError: the deadline came before the answer.
            ModelBusyError: 429 or 503; it says when to ask again.
            InputRefusedError: the endpoint does not take this input.
            ModelUnavailableError: it cannot be reached, or answers with anything else.
        """
        left = self._timeout if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise DeadlineExceededError
        # A lone surrogate has no UTF-8 form; "?" stands for it, as it would in the model.
        content = json.dumps(body, ensure_ascii=False).encode(errors="replace")
        try:
            response = self._client.post(
                self.url,
                content=content,
                headers={"Content-Type": "application/json"},
                timeout=min(left, self._timeout),
            )
        except httpx.TimeoutException:
            if deadline is not None and time.monotonic() >= deadline - 0.01:
                raise DeadlineExceededError from None
            raise self._unavailable(f"gives no answer in {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._unavailable(f"cannot be reached: {error}") from None
        self._require_success(response)
        self._pause = _FIRST_PAUSE
        try:
            return response.json()
        except ValueError:
            raise self._unavailable("answers with something that is no JSON") from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def wrong_answer(self, what: str) -> ModelUnavailableError:
        """Return the error for an answer of another form than asked for."""
        return self._unavailable(f"answers with {what}")

    def _require_success(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        status = response.status_code
        if status in _BUSY:
            raise ModelBusyError(self._asked_pause(response))
        said = self._excerpt(response)
        if status in _REFUSED_INPUT:
            raise InputRefusedError(f"the remote model refuses an input with {status}: {said}")
        if status in _REFUSED_KEY:
            mend = f"set {self._setting.replace('_URL', '_API_KEY')} to a key that may use it"
            raise self._unavailable(f"answers {status}: {said}", mend)
        raise self._unavailable(f"answers {status}: {said}")

    def _asked_pause(self, response: httpx.Response) -> float:
        """Return the seconds of Retry-After, a number or a date; without it a growing pause."""
        seconds = _read_pause(response.headers.get("Retry-After", ""))
        if seconds is not None:
            return seconds
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        return pause

    def _excerpt(self, response: httpx.Response) -> str:
        """Return the beginning of an error's text, without the key, should it be repeated there."""
        text = " ".join(response.text.split())
        if self._key is not None and self._key.get_secret_value():
            text = text.replace(self._key.get_secret_value(), "[the key]")
        return text[:_SHOWN_CHARACTERS] or "nothing else"

    def _unavailable(self, what: str, mend: str | None = None) -> ModelUnavailableError:
        address = httpx.URL(self.url)
        return ModelUnavailableError(
            f"the remote model at {address.host} {what}",
            field=self._setting,
            value=str(address.copy_with(query=None, userinfo=b"")),
            mend=mend or f"see that {self._setting} is the whole URL of its endpoint and is up",
        )


@cache
def _trusted_certificates() -> ssl.SSLContext:
    """Read the certificates once: it takes longer than a request."""
    return httpx.create_ssl_context()


def require_url(url: str | None, name: str, setting: str) -> str:
    """Return the URL of a remote model; raise InvalidInputError where none was given."""
    if url:
        return url
    raise InvalidInputError(
        f"where the remote model {name!r} is was not said",
        field=setting,
        mend=f"set {setting} to the whole URL of its endpoint",
    )


def _read_pause(value: str) -> float | None:
    """Return the seconds that a Retry-After says; None where it says none that can be read."""
    try:
        seconds = float(value)
    except ValueError:
        try:
            when = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None
