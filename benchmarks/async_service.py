"""A small asynchronous web service in front of a model: twenty requests at once against the same ones in turn.

    python benchmarks/async_service.py
    python benchmarks/async_service.py --model FOLDER_OF_A_TUNED_MODEL --requests 20

The service awaits ``Model.apredict`` for each request, within a time limit. Requests that are in flight at the same
time share batches, and the event loop stays free: a health check is asked every 20 ms meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

import ftkit as ft

TASK = ft.Task(
    "You read short clinic notes. Name the drug, the dose and for how many days it is taken.", input="{note}"
)


def service(model: ft.Model[str]) -> Starlette:
    async def answer(request: Request) -> JSONResponse:
        body = await request.json()
        return JSONResponse({"answer": await model.apredict(note=body["note"], timeout=600)})

    async def health(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    return Starlette(routes=[Route("/answer", answer, methods=["POST"]), Route("/health", health)])


async def measure(model: ft.Model[str], count: int) -> None:
    transport = httpx.ASGITransport(app=service(model))
    async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=None) as client:

        async def ask(number: int) -> tuple[float, str]:
            started = time.perf_counter()
            note = f"Patient {number}: aspirin {50 * (1 + number % 7)} mg twice a day for {2 + number % 11} days."
            response = await client.post("/answer", json={"note": note})
            return time.perf_counter() - started, response.json()["answer"]

        async def watch() -> None:
            while True:
                started = time.perf_counter()
                await client.get("/health")
                pauses.append(time.perf_counter() - started)
                await asyncio.sleep(0.02)

        await ask(0)
        pauses: list[float] = []
        started = time.perf_counter()
        in_turn = [await ask(number) for number in range(count)]
        turn_s = time.perf_counter() - started
        watching = asyncio.create_task(watch())
        started = time.perf_counter()
        at_once = await asyncio.gather(*map(ask, range(count)))
        once_s = time.perf_counter() - started
        watching.cancel()
        if [answer for _, answer in in_turn] != [answer for _, answer in at_once]:
            raise SystemExit("the answers of the two ways differ")
    for words, total, found in (("in turn", turn_s, in_turn), ("at once", once_s, at_once)):
        seconds = sorted(seconds for seconds, _ in found)
        half = statistics.median(seconds)
        print(f"{count} requests {words}: {total:6.2f} s, half within {half:5.2f} s, all within {seconds[-1]:5.2f} s")
    print(f"{turn_s / once_s:.1f} times as fast; the longest wait for a health check was {max(pauses) * 1000:.0f} ms")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", default="smollm2-135m", help="a name or folder that the local backend takes")
    options.add_argument("--requests", type=int, default=20)
    options.add_argument("--tokens", type=int, default=16)
    chosen = options.parse_args()
    sampling = ft.Sampling(max_output_tokens=chosen.tokens)
    with ft.Model(f"local:{chosen.model}", TASK, sampling=sampling) as model:
        asyncio.run(measure(model.load(), chosen.requests))


if __name__ == "__main__":
    main()
