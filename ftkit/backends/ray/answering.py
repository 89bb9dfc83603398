"""The job whose replicas answer: ``python -m ftkit.backends.ray.answering STORAGE NAME REPLICAS CPUS GPUS``.

Each replica is an actor of Ray. One that is lost is started again, and its call with it. The job ends when the other
side says so or says nothing any more.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from queue import Queue, SimpleQueue
from typing import Any

from ftkit.backends.ray.answer_channel import AnswerChannel, answer_channel
from ftkit.backends.ray.cluster import Cluster, missing_resources
from ftkit.backends.ray.driver import connect
from ftkit.backends.ray.object_store import is_address
from ftkit.backends.ray.run_folder import run_files
from ftkit.backends.ray.run_objects import node_folder
from ftkit.backends.remote import model_calls
from ftkit.backends.remote.messages import error_to_wire
from ftkit.errors import ConfigError, ModelError
from ftkit.extras import require

__all__ = ["Replica", "main", "serve"]

_MODELS = ("model", "base")
"""Arguments of calls that name a model."""
_SILENCE_S = 180.0
"""Without a word for so long, the other side is gone: it says something every 20 seconds."""
_TRIES = 3
"""How often a call is made whose replica is lost."""
_RESTART_S, _RESTART_POLL_S = 300.0, 1.0
"""How long a replica that was lost may take to start again. Until then Ray refuses every call to it at once."""


class Replica:
    """A copy of each model that is asked, in a process of its own.

    Args:
        storage: the shared folder, or the address of an object store, from which models are fetched to the node.
    """

    def __init__(self, storage: str) -> None:
        self._storage = storage
        os.environ["FTKIT_HOME"] = str(node_folder() / "home") if is_address(storage) else f"{storage}/home"
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
                asked = {key: self._here(value) if key in _MODELS else value for key, value in arguments.items()}
                said.put({"result": call(**asked, tell=lambda item: said.put({"item": item}))})
            except Exception as error:  # whatever happens there is said here
                traceback.print_exc()
                said.put({"error": error_to_wire(error)})

        threading.Thread(target=work, daemon=True).start()
        while True:
            part = said.get()
            yield part
            if "item" not in part:
                return

    def _here(self, model: str) -> str:
        """The name of a model on this node: of one that a run on an object store has made, its folder."""
        if not is_address(self._storage) or "/" in model:
            return model
        made = run_files(self._storage, model).local_model(node_folder() / "models")
        return model if made is None else str(made)


def serve(channel: AnswerChannel, replicas: list[Any], lost: type[Exception], fetch: Any) -> None:
    """Share calls out among the replicas until the other side has no more, or no replica is left.

    Args:
        channel: where calls and replies travel.
        replicas: handles of actors.
        lost: what Ray raises when one is lost.
        fetch: returns the value of a reference, as ``ray.get`` does.
    """
    waiting: Queue[tuple[int, str, dict[str, Any]]] = Queue()
    cancelled: set[int] = set()

    def wait_until_ready(replica: Any) -> None:
        deadline = time.monotonic() + _RESTART_S
        while time.monotonic() < deadline and channel.is_open():
            with contextlib.suppress(lost):
                fetch(replica.is_ready.remote())
                return
            time.sleep(_RESTART_POLL_S)

    def work(replica: Any) -> None:
        try:
            fetch(replica.is_ready.remote())
        except lost as error:
            channel.reply({"note": f"a replica cannot start: {' '.join(str(error).split())[:2000]}"})
            return
        while True:
            number, name, arguments = waiting.get()
            for attempt in range(1, _TRIES + 1):
                if number in cancelled:
                    break
                try:
                    for part in replica.run.options(num_returns="streaming").remote(name, arguments):
                        channel.reply({"id": number, **fetch(part)})
                        if number in cancelled:
                            break
                    break
                except lost as error:
                    traceback.print_exc()
                    if attempt < _TRIES:
                        wait_until_ready(replica)
                    else:
                        message = f"a replica was lost {_TRIES} times during this call: {' '.join(str(error).split())}"
                        channel.reply({"id": number, "error": error_to_wire(ModelError(message[:2000]))})

    def work_while_asked(replica: Any) -> None:
        with contextlib.suppress(FileNotFoundError):  # the other side has closed, and removed the channel
            work(replica)

    threads = [threading.Thread(target=work_while_asked, args=(replica,), daemon=True) for replica in replicas]
    for thread in threads:
        thread.start()
    start, heard = 0, time.monotonic()
    while any(thread.is_alive() for thread in threads) and channel.is_open():
        if time.monotonic() - heard > _SILENCE_S:
            channel.delete()
            return
        for read, asked in channel.calls(start):
            start, heard = read, time.monotonic()
            cancelled.update(asked.get("cancel", ()))
            if "call" in asked:
                waiting.put((asked["id"], asked["call"], asked["arguments"]))
        time.sleep(channel.poll_s)


def main(storage: str, name: str, replicas: str, cpus: str, gpus: str) -> None:
    """Start the replicas, and let them answer.

    Args:
        storage: the shared folder, or the address of an object store.
        name: name of this job.
        replicas: how many.
        cpus: CPUs of each.
        gpus: GPUs of each.
    """
    refusals = require("ray.exceptions", extra="ray", needed_for="answers on a Ray cluster")
    ray = connect()
    channel = answer_channel(storage, name)
    each = Cluster(cpus_per_worker=float(cpus), gpus_per_worker=int(gpus)).resources()
    missing = missing_resources(int(replicas), each, ray.cluster_resources())
    if missing is not None:
        note = f"{replicas} replicas need {missing}; those that find no place wait until nodes are added"
        channel.reply({"note": note})
    actor = ray.remote(Replica).options(num_cpus=each["CPU"], num_gpus=each.get("GPU", 0.0), max_restarts=-1)
    serve(channel, [actor.remote(storage) for _ in range(int(replicas))], refusals.RayError, ray.get)


if __name__ == "__main__":
    main(*sys.argv[1:6])
