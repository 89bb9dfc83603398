"""What a server at an address may send: anything, in any size, slowly, or without end."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import numpy as np
import pytest

from ftkit.errors import ModelError
from ftkit.inference.protocol import Failed, Finished, GenerationRequest
from ftkit.inference.sampling import SamplingParams
from ftkit.inference.vllm import client as vllm_client
from ftkit.inference.vllm import engine as vllm_engine
from ftkit.inference.vllm.client import VLLMClient
from ftkit.inference.vllm.engine import VLLMEngine

END = 2


class Liar(BaseHTTPRequestHandler):
    """Sends pieces; with `endless`, repeats the last one."""

    protocol_version = "HTTP/1.1"
    pieces: ClassVar[list[str]] = []
    endless: ClassVar[bool] = False

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        try:
            for piece in self.pieces:
                self.write(piece)
            while self.endless:
                self.write(self.pieces[-1])
                time.sleep(0.01)
            self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has left
            self.close_connection = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def write(self, piece: str) -> None:
        self.wfile.write(f"{len(piece.encode()):x}\r\n{piece}\r\n".encode())
        self.wfile.flush()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Liar) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def event(body: Any) -> str:
    return f"data: {body if isinstance(body, str) else json.dumps(body)}\n\n"


def token(number: Any, logprob: Any = -0.5, finish_reason: str | None = None, **more: Any) -> str:
    logprobs = {"token_logprobs": [logprob]}
    choice = {"token_ids": [number], "logprobs": logprobs, "finish_reason": finish_reason, **more}
    return event({"choices": [choice]})


DONE = event("[DONE]")


def answered(url: str, pieces: list[str], *, endless: bool = False) -> tuple[list[int], Finished | Failed]:
    """The tokens that reach whoever asks for at most four, and how it ended."""
    Liar.pieces, Liar.endless = pieces, endless
    engine = VLLMEngine(
        VLLMClient(url, None, name="vLLM", connections=2), base="base", max_length=64, rows=2, vocabulary=100
    )
    events = queue.Queue[Any]()
    request = GenerationRequest(
        prompt=np.asarray([1, 5], dtype=np.int32), max_tokens=4, sampling=SamplingParams(),
        stop_token_ids=frozenset({END}), logprobs="all",
    )  # fmt: skip
    ids: list[int] = []
    try:
        engine.add(request, events.put)
        while True:
            found = events.get(timeout=20)
            if isinstance(found, Finished | Failed):
                return ids, found
            ids.append(found.token_id)
    finally:
        engine.close()
        Liar.endless = False


@pytest.mark.parametrize(
    ("piece", "said"),
    [
        (event({"choices": 5}), "no list of choices"),
        (event({"choices": [5]}), "no list of choices"),
        (event({"choices": "abc"}), "no list of choices"),
        (token(1.5), "1.5 as a token id; the model has those from 0 to 99"),
        (token(True), "True as a token id"),
        (token(-3), "-3 as a token id"),
        (token(100), "100 as a token id"),
        (token(10**40), "as a token id"),
        (token(7, 5.0), "5 as the log-probability of a token, which is at most 0"),
        (token(7, True), "computes no numbers"),
        (token(7, None), "computes no numbers"),
        (token(7, logprobs=[1]), "another number of log-probabilities"),
        (token(7, token_ids="abc"), "returned no token ids"),
        (token(7, finish_reason="length"), "cut an answer after 1 of 4 tokens"),
        (token(7, finish_reason="stop"), "ended an answer at the token 7"),
        (token(7, finish_reason={"a": 1}), "has not completed an answer"),
        (event("{nope"), "is no JSON object"),
        (event({"error": {"message": "out of memory"}}), "out of memory"),
    ],
)
def test_what_is_no_answer_of_vllm_is_an_error(url: str, piece: str, said: str) -> None:
    _, end = answered(url, [piece, DONE])
    assert isinstance(end, Failed)
    assert isinstance(end.error, ModelError)
    assert said in str(end.error)


def test_figures_of_usage_that_are_none_change_no_answer(url: str) -> None:
    for usage in ("x", {"prompt_tokens_details": 5}, {"prompt_tokens_details": {"cached_tokens": float("inf")}}):
        ids, end = answered(url, [token(7), token(END, finish_reason="stop"), event({"usage": usage}), DONE])
        assert (ids, type(end)) == ([7, END], Finished)


@pytest.mark.parametrize(
    "pieces",
    [
        [": ping\n\n"],
        ["d"],
        [event({"choices": []})],
        [token(7), event({"choices": [{"token_ids": []}]})],
    ],
)
def test_a_server_that_sends_no_token_is_not_waited_for(
    url: str, pieces: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vllm_engine, "_SILENCE_S", 0.3)
    _, end = answered(url, pieces, endless=True)
    assert isinstance(end, Failed)
    assert "has sent no token of an answer for" in str(end.error)


@pytest.mark.parametrize("last", [token(7), ": ping\n\n", token(7, token_ids=[], logprobs=None)])
def test_an_answer_ends_although_the_server_goes_on(url: str, last: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_engine, "_AFTER_END_S", 0.3)
    assert answered(url, [token(7), token(8), token(9), token(7), last], endless=True)[0] == [7, 8, 9, 7]
    ids, end = answered(url, [token(7), token(END, finish_reason="stop"), last], endless=True)
    assert isinstance(end, Finished)
    assert (ids, end.finish_reason) == ([7, END], "stop")


def test_a_call_ends_in_time_however_the_answer_drips(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_client, "_CALL_S", 0.3)
    client = VLLMClient(url, "secret-key", name="vLLM", connections=1)
    Liar.pieces, Liar.endless = [" "], True
    for call in (lambda: client.get("/v1/models"), lambda: client.post("/tokenize", {})):
        with pytest.raises(ModelError, match=r"has not answered .* within 0.3 s") as refused:
            call()
        assert "secret-key" not in str(refused.value)
    monkeypatch.setattr(vllm_client, "_HEALTH_S", 0.3)
    assert not client.healthy()
    Liar.pieces = [" " * 1_000_000]
    monkeypatch.setattr(vllm_client, "_CALL_S", 20.0)
    with pytest.raises(ModelError, match="has more than 16,777,216 bytes"):
        client.get("/v1/models")
    Liar.endless = False
