"""Copy what happens in a run on the other machine into the store of this one."""

from __future__ import annotations

import base64
import secrets
import time
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from ftkit.backends.ssh.run_calls import LIVE_FILES
from ftkit.backends.ssh.session import Session
from ftkit.files import create_folder
from ftkit.store import OPEN_STATES, RunRecord, RunTransaction, Store

__all__ = ["RunHandle", "copy_events"]

_CALL_S = 60.0


class RunHandle(BaseModel):
    """What the store keeps of a run on another machine, so that any process finds it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    machine: str
    """The machine, as it is written before the ``#`` of the backend's name."""
    key: str
    """Tells the run from one of the same id that another machine has sent there."""
    sent: bool = False
    """Whether the machine has it. False: unknown until the next poll."""
    after: int = 0
    """Number of the last event of the other machine that was copied."""
    down: bool = False
    """Whether the connection was down when it was last tried."""

    @classmethod
    def new(cls, machine: str) -> Self:
        """Make the handle of a run that will be sent.

        Args:
            machine: the machine.

        Returns:
            The handle.
        """
        return cls(machine=machine, key=secrets.token_hex(16))

    @classmethod
    def of(cls, record: RunRecord) -> Self | None:
        """Read the handle of a run.

        Args:
            record: the run.

        Returns:
            The handle; None if the run was left before it had one.
        """
        return cls.model_validate(record.handle) if "key" in record.handle else None

    def save(self, run: RunTransaction, **changes: Any) -> None:
        """Store the handle with changes.

        Args:
            run: the transaction of the run.
            **changes: new values.
        """
        run.update(handle=self.model_copy(update=changes).model_dump())


def copy_events(session: Session, record: RunRecord, store: Store, *, patience_s: float) -> bool:
    """Copy all that is new of a run.

    Args:
        session: the session with the machine.
        record: the run, with a handle.
        store: the store of this machine.
        patience_s: how long to try while the connection is down.

    Returns:
        False if the machine has no such run.
    """
    folder = store.run_folder(record.id)
    while True:
        handle = RunHandle.of(store.get(record.id))
        if handle is None:
            return False
        sizes = {name: _size(folder / name) for name in LIVE_FILES}
        reply = session.call(
            "poll",
            run_id=record.id,
            key=handle.key,
            after=handle.after,
            sizes=sizes,
            patience_s=patience_s,
            timeout_s=_CALL_S,
        )
        if reply is None:
            return False
        for name in LIVE_FILES:
            _append(folder / name, *reply["files"].get(name, (0, "")))
        with store.transaction(record.id) as run:
            current = RunHandle.of(run.record)
            # Another process may have copied the same events meanwhile; then these are not new any more.
            if current is not None and current.after == handle.after:
                _apply(run, current, reply, session.machine.destination)
        if not reply["more"]:
            return True


def _apply(run: RunTransaction, handle: RunHandle, reply: dict[str, Any], machine: str) -> None:
    if handle.down:
        run.append("log", {"message": f"the connection to {machine} is up again"})
    last: dict[str, Any] = {}
    for seq, at, kind, data in reply["events"]:
        if kind != "state":
            run.append(kind, data, source_id=f"{handle.key}-{seq}", at=at)
            continue
        last = data
        if data["state"] in OPEN_STATES and run.record.state in OPEN_STATES:
            run.update(state=data["state"], reason=data.get("reason"))
    after = reply["events"][-1][0] if reply["events"] else handle.after
    if (after, True, False) != (handle.after, handle.sent, handle.down):
        handle.save(run, after=after, sent=True, down=False)
    if reply["more"] or reply["state"] in OPEN_STATES or run.record.state not in OPEN_STATES:
        return
    error = reply["error"]
    run.update(
        reason=last.get("reason"),
        state=reply["state"],
        summary=reply["summary"],
        error=None if error is None else f"on {machine}: {error}",
        finished_at=reply["finished_at"] or time.time(),
    )


def _size(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _append(file: Path, start: int, content: str) -> None:
    """Write a piece of a growing file in its place; from 0 if the file there was begun anew."""
    piece = base64.b64decode(content)
    if not piece or start > _size(file):  # another process has begun anew
        return
    create_folder(file.parent)
    with file.open("r+b" if file.exists() else "wb") as copy:
        copy.seek(start)
        copy.write(piece)
        copy.truncate()
