"""A program that speaks vLLM's command line and HTTP API, as vLLM 0.32 was read, and answers without a model.

An answer is the adapter's number, then the last tokens of the prompt backwards, then the end of turn: so it shows which
tokens and which adapter were asked. In the way ``uniform VOCABULARY OFFSET`` it is a few random tokens that follow from
the seed, whose probabilities are those of a model that knows nothing, but for the offset in nats.

``FAKE_VLLM_LOG`` names a file that gets a line of JSON for every start and call; the file of this name with ``.ways``
says how the server misbehaves from now on, and the one with ``.answers`` has lines of JSON with a request, which gets
the answer of this line: its tokens, their log-probabilities, the likeliest.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import jinja2
from tokenizers import Tokenizer

END = 2


def way() -> str:
    file = Path(os.environ.get("FAKE_VLLM_LOG", "") + ".ways")
    return file.read_text() if file.is_file() else ""


def scripted(body: dict[str, Any], *, base: bool) -> list[Any] | None:
    """Return the tokens of the file of answers for a request, or for one that continues the start of an answer."""
    file = Path(os.environ.get("FAKE_VLLM_LOG", "") + ".answers")
    if not file.is_file():
        return None
    prompt, forced = body["prompt"], body.get("allowed_token_ids")
    grammar = (body.get("structured_outputs") or {}).get("grammar")
    asked = [grammar, body["max_tokens"], body["frequency_penalty"], sorted((body.get("logit_bias") or {}).items())]
    for line in file.read_text().splitlines():
        known = json.loads(line)
        start, tokens = known["prompt"], known["tokens"]
        if (known["base"], known["top"]) != (base, body["logprobs"]) or prompt[: len(start)] != start:
            continue
        more = prompt[len(start) :]
        rest: list[Any] = tokens[len(more) :]
        if forced is None and not more and known["asked"] == json.loads(json.dumps(asked)):
            return rest
        if forced and rest and forced == [rest[0][0]] and more == [token for token, *_ in tokens[: len(more)]]:
            return rest[:1]
    return None


def log(**entry: Any) -> None:
    if file := os.environ.get("FAKE_VLLM_LOG"):
        with Path(file).open("a") as out:
            out.write(json.dumps(entry) + "\n")


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    tokenizer: Tokenizer
    options: dict[str, str]
    adapters: ClassVar[dict[str, str]] = {}

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass

    def answer(self, body: Any, status: int = 200) -> None:
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def refuse(self, status: int, message: str) -> None:
        self.answer({"error": {"message": message, "type": "BadRequestError", "code": status}}, status)

    @property
    def allowed(self) -> bool:
        key = os.environ.get("VLLM_API_KEY")
        return not key or self.headers.get("authorization") == f"Bearer {key}"

    def do_GET(self) -> None:
        if self.path == "/health":
            self.answer("", 503 if way() == "never_ready" else 200)
        elif self.path == "/version":
            self.answer({"version": "0.32.0"})
        elif not self.allowed:
            self.answer({"error": "Unauthorized"}, 401)
        elif self.path == "/v1/models":
            name, root = self.options["--served-model-name"], self.options["model"]
            length = int(self.options.get("--max-model-len", 512))
            cards = [{"id": name, "root": root, "parent": None, "max_model_len": length}]
            self.answer({"data": [*cards, *({"id": one, "parent": name} for one in self.adapters)]})
        else:
            self.refuse(404, "Not Found")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        log(path=self.path, body=body)
        known = {self.options["--served-model-name"], *self.adapters}
        if not self.allowed:
            self.answer({"error": "Unauthorized"}, 401)
        elif self.path == "/v1/load_lora_adapter" and way() != "no_runtime_lora":
            self.adapters[body["lora_name"]] = body["lora_path"]
            log(adapter=sorted(file.name for file in Path(body["lora_path"]).iterdir()))
            self.answer(f"Success: LoRA adapter '{body['lora_name']}' added successfully.")
        elif self.path == "/v1/unload_lora_adapter" and body["lora_name"] in self.adapters:
            del self.adapters[body["lora_name"]]
            self.answer(f"Success: LoRA adapter '{body['lora_name']}' removed successfully.")
        elif self.path == "/tokenize":
            self.answer({"tokens": self.tokens(body)})
        elif self.path != "/v1/completions":
            self.answer({"detail": "Not Found"}, 404)
        elif body["model"] not in known:
            self.refuse(404, f"The model `{body['model']}` does not exist.")
        else:
            self.complete(body)

    def tokens(self, body: dict[str, Any]) -> list[int]:
        text = body.get("prompt")
        if text is None:
            environment = jinja2.Environment()
            environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
            template = environment.from_string(body["chat_template"])
            text = template.render(messages=body["messages"], add_generation_prompt=True, bos_token="", eos_token="")
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return [token + 1 for token in ids] if way() == "other_tokens" else ids

    def complete(self, body: dict[str, Any]) -> None:
        if way() == "refuse" or (body.get("structured_outputs") and way() == "no_grammar"):
            self.refuse(400, "Grammar error: not today")
            return
        adapters = ["", *self.adapters]
        number = self.tokenizer.encode(str(adapters.index(body["model"] if body["model"] in adapters else ""))).ids
        ids = [*number, *reversed(body["prompt"][-8:]), END]
        if allowed := body.get("allowed_token_ids"):
            ids = allowed
        script = scripted(body, base=body["model"] not in self.adapters)
        if script is not None:
            ids = [token for token, *_ in script]
        if way() == "endless":
            ids = number * 10_000
        uniform = way().split()[1:] if way().startswith("uniform") else []
        if uniform and not allowed:
            draw = random.Random(body.get("seed", 0))
            ids = [*(draw.randrange(300, 9_000) for _ in range(draw.randint(2, 5))), END]
        if "stream" not in body:
            known = 0.0 if self.options.get("--logprobs-mode") == "processed_logprobs" else -3.0
            self.answer({"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": [known]}}]})
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        count = 0
        for token in ids[: body["max_tokens"]]:
            count += 1
            if way() == "die" and count == 3:
                print("RuntimeError: out of everything", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
            if way() == "break" and count == 3:
                self.close_connection = True
                return
            if way() == "endless":
                time.sleep(0.01)
            ended = "stop" if token in body["stop_token_ids"] else "length" if count == body["max_tokens"] else None
            logprob = float("nan") if way() == "nan" else -0.5
            if uniform:
                logprob = float(uniform[1]) - math.log(int(uniform[0]))
            if body.get("structured_outputs"):
                logprob = -0.1
            top = {f"token_id:{token}": logprob, "token_id:7": -3.0, "token_id:8": -1.0}
            if script is not None and not body.get("structured_outputs"):
                _, logprob, likeliest = script[count - 1]
                top = {f"token_id:{other}": value for other, value in [*likeliest, (token, logprob)]}
            logprobs = {"token_logprobs": [logprob], "top_logprobs": [top], "tokens": [f"token_id:{token}"]}
            choice = {"index": 0, "text": "", "token_ids": [token], "logprobs": logprobs, "finish_reason": ended}
            if count == 1:
                choice["prompt_token_ids"] = body["prompt"]
            try:
                self.event({"choices": [choice]})
            except OSError:
                log(path="disconnected")
                return
            if ended == "stop":
                break
        details = {"cached_tokens": 3}
        self.event({"choices": [], "usage": {"completion_tokens": count, "prompt_tokens_details": details}})
        self.chunk("data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def event(self, body: dict[str, Any]) -> None:
        self.chunk(f"data: {json.dumps(body)}\n\n")

    def chunk(self, text: str) -> None:
        self.wfile.write(f"{len(text.encode()):x}\r\n{text}\r\n".encode())
        self.wfile.flush()


def main(arguments: list[str]) -> None:
    _, model, *rest = arguments
    flags = {"--enable-lora", "--enable-prompt-tokens-details", "--trust-request-chat-template", "--disable-log-stats"}
    flags |= {"--disable-uvicorn-access-log", "--enforce-eager"}
    options, at = {"model": model}, 0
    while at < len(rest):
        alone = rest[at] in flags
        options[rest[at]] = "" if alone else rest[at + 1]
        at += 1 if alone else 2
    log(started=arguments, pid=os.getpid(), environment=sorted(os.environ))
    print("INFO vLLM API server version 0.32.0", flush=True)
    if way() == "refuse_start":
        print(f"key {os.environ['VLLM_API_KEY']}", file=sys.stderr)
        sys.exit("ValueError: no room for the key-value cache")
    Server.options = options
    Server.tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    ThreadingHTTPServer((options["--host"], int(options["--port"])), Server).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
