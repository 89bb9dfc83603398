"""The durable store: run records, their events, and where their files lie."""

from ftkit.store.database import Database
from ftkit.store.record import OPEN_STATES, Event, EventKind, RunRecord, RunState
from ftkit.store.store import Store

__all__ = ["OPEN_STATES", "Database", "Event", "EventKind", "RunRecord", "RunState", "Store"]
