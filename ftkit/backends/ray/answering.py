"""The job whose replicas answer: ``python -m ftkit.backends.ray.answering FOLDER HOME REPLICAS CPUS GPUS``.

Each replica is an actor of Ray. One that is lost is started again, and its call with it. The job ends when the other
side says so or says nothing any more.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import Queue, SimpleQueue
from typing import Any

from ftkit.backends.ray.cluster import Cluster, missing_resources
from ftkit.backends.ray.driver import connect
from ftkit.backends.ray.json_lines import JsonLines
from ftkit.backends.ray.replicas import CALLS_FILE, REPLIES_FILE
from ftkit.backends.remote import model_calls
from ftkit.backends.remote.messages import error_to_wire
from ftkit.errors import ConfigError, ModelError
from ftkit.extras import require

__all__ = ["Replica", "main", "serve"]

_POLL_S = 0.1
_SILENCE_S = 180.0
"""Without a word for so long, the other side is gone: it says something every 20 seconds."""
_TRIES = 3
"""How often a call is made whose replica is lost."""
_RESTART_S, _RESTART_POLL_S = 300.0, 1.0
"""How long a replica that was lost may take to start again. Until then Ray refuses every call to it at once."""


class Replica:
    """A copy of each model that is asked, in a process of its own.

    Args:
        home: ftkit's folder there.
    """

    def __init__(self, home: str) -> None:
        os.environ["FTKIT_HOME"] = home
        from ftkit.backends.local import answerer  # noqa: F401  (once, before threads import it at the same time)

    def is_ready(self) -> bool:
        """Say that the process has started.

        Returns:
            True.
        """
        return True

    def run(self, name: str, arguments: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Make a call of :mod:`ftkit.backends.remote.model_calls`.

        Args:
            name: its name.
            arguments: its arguments.

        Yields:
            Each ``item`` of the result as soon as it is complete, and at last the ``result`` or the ``error``.
        """
        said: SimpleQueue[dict[str, Any]] = SimpleQueue()

        def work() -> None:
            try:
                if name not in model_calls.__all__:
                    raise ConfigError(f"ftkit there knows no call {name!r}")
                call = getattr(model_calls, name)
                said.put({"result": call(**arguments, tell=lambda item: said.put({"item": item}))})
            except Exception as error:  # whatever happens there is said here
                traceback.print_exc()
                said.put({"error": error_to_wire(error)})

        threading.Thread(target=work, daemon=True).start()
        while True:
            part = said.get()
            yield part
            if "item" not in part:
                return


def serve(folder: Path, replicas: list[Any], lost: type[Exception], fetch: Any) -> None:
    """Share calls out among the replicas until the other side has no more, or no replica is left.

    Args:
        folder: the folder of calls and replies.
        replicas: handles of actors.
        lost: what Ray raises when one is lost.
        fetch: returns the value of a reference, as ``ray.get`` does.
    """
    calls, replies = JsonLines(folder / CALLS_FILE), JsonLines(folder / REPLIES_FILE)
    waiting: Queue[tuple[int, str, dict[str, Any]]] = Queue()
    cancelled: set[int] = set()

    def wait_until_ready(replica: Any) -> None:
        deadline = time.monotonic() + _RESTART_S
        while time.monotonic() < deadline and folder.is_dir():
            with contextlib.suppress(lost):
                fetch(replica.is_ready.remote())
                return
            time.sleep(_RESTART_POLL_S)

    def work(replica: Any) -> None:
        try:
            fetch(replica.is_ready.remote())
        except lost as error:
            replies.append({"note": f"a replica cannot start: {' '.join(str(error).split())[:2000]}"})
            return
        while True:
            number, name, arguments = waiting.get()
            for attempt in range(1, _TRIES + 1):
                if number in cancelled:
                    break
                try:
                    for part in replica.run.options(num_returns="streaming").remote(name, arguments):
                        replies.append({"id": number, **fetch(part)})
                        if number in cancelled:
                            break
                    break
                except lost as error:
                    traceback.print_exc()
                    if attempt < _TRIES:
                        wait_until_ready(replica)
                    else:
                        message = f"a replica was lost {_TRIES} times during this call: {' '.join(str(error).split())}"
                        replies.append({"id": number, "error": error_to_wire(ModelError(message[:2000]))})

    def work_while_asked(replica: Any) -> None:
        with contextlib.suppress(FileNotFoundError):  # the other side has closed, and removed the folder
            work(replica)

    threads = [threading.Thread(target=work_while_asked, args=(replica,), daemon=True) for replica in replicas]
    for thread in threads:
        thread.start()
    start, heard = 0, time.monotonic()
    while any(thread.is_alive() for thread in threads) and folder.is_dir():
        if time.monotonic() - heard > _SILENCE_S:
            shutil.rmtree(folder, ignore_errors=True)
            return
        for read, asked in calls.read(start):
            start, heard = read, time.monotonic()
            cancelled.update(asked.get("cancel", ()))
            if "call" in asked:
                waiting.put((asked["id"], asked["call"], asked["arguments"]))
        time.sleep(_POLL_S)


def main(folder: str, home: str, replicas: str, cpus: str, gpus: str) -> None:
    """Start the replicas, and let them answer.

    Args:
        folder: the folder of calls and replies.
        home: ftkit's folder on the storage.
        replicas: how many.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """
    refusals = require("ray.exceptions", extra="ray", needed_for="answers on a Ray cluster")
    ray = connect()
    each = Cluster(cpus_per_worker=float(cpus), gpus_per_worker=int(gpus)).resources()
    missing = missing_resources(int(replicas), each, ray.cluster_resources())
    if missing is not None:
        note = f"{replicas} replicas need {missing}; those that find no place wait until nodes are added"
        JsonLines(Path(folder) / REPLIES_FILE).append({"note": note})
    actor = ray.remote(Replica).options(num_cpus=each["CPU"], num_gpus=each.get("GPU", 0.0), max_restarts=-1)
    serve(Path(folder), [actor.remote(home) for _ in range(int(replicas))], refusals.RayError, ray.get)


if __name__ == "__main__":
    main(*sys.argv[1:6])
