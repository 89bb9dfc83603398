"""The durable store: run records, their events, and the folders of their files."""

from ftkit.store.database import Database
from ftkit.store.record import OPEN_STATES, Event, EventKind, RunRecord, RunState
from ftkit.store.store import RunTransaction, Store, StoreWarning, UnreadableRunError

__all__ = [
    "OPEN_STATES",
    "Database",
    "Event",
    "EventKind",
    "RunRecord",
    "RunState",
    "RunTransaction",
    "Store",
    "StoreWarning",
    "UnreadableRunError",
]
