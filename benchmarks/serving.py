"""A hundred chat requests at once against the same requests one after another, over HTTP, from one server.

    python benchmarks/serving.py

The server is a process of its own; the client is the official one. Both ways ask SmolLM2-135M for answers of the same
length under one system prompt, and the answers must be the same, or the benchmark stops. One after another only
``--alone`` of the requests are asked, because a rate needs no more.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import socket
import tempfile
import time
from typing import Any

SYSTEM = (
    "You read short clinic notes and answer in one line. Name the drug, the dose and for how many days it is taken. "
    "If the note leaves one of them out, say which. Do not add advice, and do not repeat the note."
)
DRUGS = ("aspirin", "ibuprofen", "amoxicillin", "metformin", "lisinopril")


def serve(listening: socket.socket, batch: int, threads: int) -> None:
    import torch
    import uvicorn

    from ftkit.server.app import create_app
    from ftkit.server.settings import Settings

    torch.set_num_threads(threads)
    app = create_app(Settings(batch_answers=batch))
    uvicorn.Server(uvicorn.Config(app, log_level="error")).run(sockets=[listening])


def note(number: int) -> str:
    drug, dose, days = DRUGS[number % len(DRUGS)], 50 * (1 + number % 7), 2 + number % 11
    return f"Patient {number}: {drug} {dose} mg twice a day for {days} days, seen on ward {number % 9}."


async def asked(client: Any, numbers: range, tokens: int, *, at_once: bool) -> tuple[float, list[str], int]:
    """Seconds, answers, tokens of them."""

    async def one(number: int) -> Any:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": note(number)}]
        return await client.chat.completions.create(
            model="smollm2-135m", messages=messages, temperature=0, max_completion_tokens=tokens
        )

    began = time.perf_counter()
    replies = await asyncio.gather(*map(one, numbers)) if at_once else [await one(number) for number in numbers]
    seconds = time.perf_counter() - began
    return seconds, [one.choices[0].message.content for one in replies], sum(r.usage.completion_tokens for r in replies)


async def measure(url: str, chosen: argparse.Namespace) -> None:
    import httpx
    from openai import AsyncOpenAI

    limits = httpx.Limits(max_connections=None)
    async with AsyncOpenAI(
        base_url=f"{url}/v1", api_key="none", timeout=3600, http_client=httpx.AsyncClient(limits=limits)
    ) as client:
        await asked(client, range(1000, 1001), 4, at_once=False)  # loads the model and the system prompt
        alone, first, alone_tokens = await asked(client, range(chosen.alone), chosen.tokens, at_once=False)
        # Other notes, so that nothing but the system prompt is in the cache; then the same for comparison.
        together, _, tokens = await asked(client, range(2000, 2000 + chosen.requests), chosen.tokens, at_once=True)
        _, second, _ = await asked(client, range(chosen.alone), chosen.tokens, at_once=True)
    if first != second:
        raise SystemExit("answers differ between the two ways")
    print(f"{'':24}{'requests':>9}{'tokens':>8}{'seconds':>9}{'tokens/s':>10}")
    print(f"{'one after another':24}{chosen.alone:9}{alone_tokens:8}{alone:9.1f}{alone_tokens / alone:10.1f}")
    print(f"{'all at once':24}{chosen.requests:9}{tokens:8}{together:9.1f}{tokens / together:10.1f}")
    print(f"{tokens / together / (alone_tokens / alone):.1f} times the rate")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--requests", type=int, default=100)
    options.add_argument("--alone", type=int, default=12)
    options.add_argument("--tokens", type=int, default=32)
    options.add_argument("--batch", type=int, default=32)
    options.add_argument("--threads", type=int, default=os.cpu_count())
    chosen = options.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening, tempfile.TemporaryDirectory() as home:
        from ftkit.files import home as models_home

        models = models_home() / "models"
        models.mkdir(parents=True, exist_ok=True)
        os.environ["FTKIT_HOME"] = home
        os.symlink(models, os.path.join(home, "models"))
        context = multiprocessing.get_context("spawn")
        server = context.Process(target=serve, args=(listening, chosen.batch, chosen.threads), daemon=True)
        server.start()
        asyncio.run(measure(f"http://127.0.0.1:{listening.getsockname()[1]}", chosen))
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
