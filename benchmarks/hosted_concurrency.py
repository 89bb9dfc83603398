"""A thousand hosted calls of 100 ms, 64 open at once, against a server on this machine: how near to the ideal?

    python benchmarks/hosted_concurrency.py

The ideal is rows / concurrency rounds of one call each. What is above it is ftkit's threads, its journal of answers,
and the scoring, with the client and the server on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import math
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SECONDS = 0.1


def serve(port: Any) -> None:
    """Answers every POST after :data:`SECONDS`."""
    body = json.dumps({"text": "soon"}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                asked = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = next(
                int(line.split(b":")[1]) for line in asked.split(b"\r\n") if line.lower()[:15] == b"content-length:"
            )
            await reader.readexactly(length)
            await asyncio.sleep(SECONDS)
            writer.write(head + body)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=256)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(main())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=1000)
    options.add_argument("--concurrency", type=int, default=64)
    chosen = options.parse_args()
    os.environ["FTKIT_HOME"] = tempfile.mkdtemp()
    port = multiprocessing.Value("i", 0)
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.01)

    import ftkit as ft
    from ftkit.backends import Answer, Request, Sampling
    from ftkit.evaluation import Asking

    here = threading.local()

    class Hosted:
        name, task, sampling = "loopback:model", ft.Task("Answer.", input="{note}"), Sampling()

        def answer_many(self, requests: Sequence[Request], sampling: Any = None, on_answer: Any = None) -> list[Answer]:
            started = time.perf_counter()
            if not hasattr(here, "connection"):
                here.connection = http.client.HTTPConnection("127.0.0.1", port.value)
            here.connection.request("POST", "/", json.dumps({"messages": requests[0].messages}))
            text = json.load(here.connection.getresponse())["text"]
            return [Answer(text, "stop", 20, 2, time.perf_counter() - started)]

        def about(self) -> dict[str, Any]:
            return {}

    path = Path(tempfile.mkdtemp()) / "rows.jsonl"
    path.write_text("".join(json.dumps({"note": f"note {n}", "wanted": "soon"}) + "\n" for n in range(chosen.rows)))
    data = ft.Dataset.load(path, Hosted.task, target="wanted")
    ft.evaluate(Hosted(), data, limit=4, asking=Asking(concurrency=2))  # imports
    report = ft.evaluate(Hosted(), data, asking=Asking(concurrency=chosen.concurrency))
    ideal = math.ceil(chosen.rows / chosen.concurrency) * SECONDS
    print(f"{chosen.rows} calls of {SECONDS * 1000:.0f} ms, {chosen.concurrency} open at once")
    print(f"ideal {ideal:.2f} s, ftkit {report.timing.wall_s:.2f} s: {report.timing.wall_s / ideal:.2f}x")
    server.terminate()


if __name__ == "__main__":
    main()
