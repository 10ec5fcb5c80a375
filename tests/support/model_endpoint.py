"""A real HTTP server in the shape of a remote model's endpoint; what answers is given to it."""

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

#: What scores passages for a query.
Score = Callable[[str, Sequence[str]], Sequence[float]]


@dataclass(frozen=True)
class Refusal:
    """What the server says in place of an answer."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


@dataclass
class ModelEndpoint:
    """Serves ``answer`` on a port of its own; first come the ``refusals``, one a request.

    An answer may be a refusal too.
    ``bodies``, ``keys`` and ``connections`` are what it saw. Those who ask it are closed with it.
    """

    answer: Callable[[Any], Any]
    refusals: list[Refusal] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    callers: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.callers.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/ask"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections stay open
            timeout = 5

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.bodies.append(json.loads(content))
                endpoint.keys.append(self.headers["Authorization"])
                endpoint.connections.add(self.client_address)
                planned = endpoint.refusals.pop(0) if endpoint.refusals else None
                answer = planned or endpoint.answer(endpoint.bodies[-1])
                if isinstance(answer, Refusal):
                    self._send(answer.status, answer.text.encode(), answer.headers)
                else:
                    self._send(200, json.dumps(answer).encode(), {})

            def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        return Handler


def documents_shape(score: Score) -> Callable[[Any], Any]:
    """Answer as Cohere and Jina do: an object of results, best first."""
    return lambda body: {
        "results": [
            {"index": index, "relevance_score": found}
            for index, found in _ranked(score(body["query"], body["documents"]))
        ]
    }


def texts_shape(score: Score) -> Callable[[Any], Any]:
    """Answer as TEI does: a list of results, best first."""
    return lambda body: [
        {"index": index, "score": found}
        for index, found in _ranked(score(body["query"], body["texts"]))
    ]


def chat_shape(rank: Score) -> Callable[[Any], Any]:
    """Answer as a chat model that orders the numbered passages of the last message."""

    def answer(body: Any) -> Any:
        asked = body["messages"][-1]["content"]
        query = re.match(r"Query: (.*)\n", asked)
        assert query is not None
        passages = re.findall(r"^\[\d+\] (.*)$", asked, re.MULTILINE)
        order = _ranked(rank(query[1], passages))
        said = " > ".join(f"[{index + 1}]" for index, _ in order)
        return {"choices": [{"message": {"role": "assistant", "content": said}}]}

    return answer


def _ranked(scores: Sequence[float]) -> list[tuple[int, float]]:
    return sorted(enumerate(scores), key=lambda place: -place[1])
