"""A small HTTP server for fakes, which can fail at any call in the ways that networks do."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from .openapi import OpenApi

Fault = Literal["drop_before", "drop_after", "500_before", "500_after", "truncate", "429", "503_text", "not_json"]
"""What goes wrong with a call; ``_before`` and ``_after`` say whether the host acted."""


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


Reply = tuple[int, Any, dict[str, str]]


class Fake:
    """Base of the fakes: subclasses answer calls; ``fault`` decides which fail, ``override`` answers
    some in another way.

    Where there is a ``spec``, all calls and answers are held to it; ``violations`` fail the test in the end.
    """

    key = "planted-key-0123456789abcdef"
    provider: str | None = None
    """Whose prices, limits and dates hold here, which is written into the catalogue that ``FTKIT_CATALOG`` names; None:
    those of nobody that is known."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.calls: list[Call] = []
        self.fault: Callable[[Call], Fault | None] = lambda call: None
        self.override: Callable[[Call], Reply | None] = lambda call: None
        self.url = ""
        self.spec: OpenApi | None = None
        self.violations: list[str] = []
        self.answers: Callable[[str], str] = lambda text: text

    def answer(self, call: Call) -> Reply:
        raise NotImplementedError

    def reply(self, call: Call) -> tuple[Fault | None, Reply]:
        with self.lock:
            self.calls.append(call)
            if self.spec is not None:
                self.violations += self.spec.request_problems(call)
            fault = self.fault(call)
            if fault in ("drop_before", "500_before", "429", "503_text"):
                return fault, (500, {}, {})
            said = self.override(call)
            if said is not None:
                return fault, said
            reply = self.answer(call)
            if self.spec is not None:
                self.violations += self.spec.answer_problems(call, reply[0], reply[1])
            return fault, reply


@contextmanager
def serving(fake: Fake) -> Iterator[Fake]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *arguments: Any) -> None:
            pass

        def _serve(self) -> None:
            parts = urlsplit(self.path)
            size = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(size) if size else self._chunks()
            if len(body) < size:
                self.close_connection = True  # whoever called has gone
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(self.command, parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)), headers, body)
            fault, (status, content, more) = fake.reply(call)
            if fault in ("drop_before", "drop_after"):
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            if fault in ("500_before", "500_after"):
                status, content = 500, {"error": {"message": f"broken; you sent {headers.get('authorization')}"}}
            elif fault == "429":
                status, content, more = 429, {"error": {"message": "slow down"}}, {"retry-after": "1"}
            elif fault == "503_text":
                status, content = 503, b"<html>down</html>"
            elif fault == "not_json":
                content = b"{oops"
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", more.pop("content-type", "application/json"))
            self.send_header("content-length", str(len(raw)))
            for name, value in more.items():
                self.send_header(name, value)
            self.end_headers()
            if fault == "truncate":
                self.wfile.write(raw[: len(raw) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            self.wfile.write(raw)

        def _chunks(self) -> bytes:
            found = b""
            if self.headers.get("transfer-encoding") == "chunked":
                while size := int(self.rfile.readline().strip() or b"0", 16):
                    found += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            return found

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    catalog = os.environ.get("FTKIT_CATALOG")
    if fake.provider and catalog:
        with open(catalog, "a", encoding="utf-8") as file:
            file.write(
                f'[[address]]\nprovider = "{fake.provider}"\naddress = "{fake.url.removeprefix("http://")}"\n'
                'source = "a fake that stands for it"\nas_of = 2026-11-24\n\n'
            )
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
    assert not fake.violations, "\n".join(dict.fromkeys(fake.violations))


def form(call: Call) -> dict[str, tuple[str | None, bytes]]:
    """The parts of a multipart body: name → (file name, content)."""
    from email.parser import BytesParser
    from email.policy import HTTP

    head = f"content-type: {call.headers['content-type']}\r\n\r\n".encode()
    found = {}
    for part in BytesParser(policy=HTTP).parsebytes(head + call.body).iter_parts():
        name = part.get_param("name", header="content-disposition")
        found[str(name)] = (part.get_filename(), part.get_payload(decode=True))
    return found
