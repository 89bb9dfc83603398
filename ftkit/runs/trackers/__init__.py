"""Trackers: objects that receive what happens in a run, e.g. to send it to an experiment tracker.

An installed package adds a tracker through the entry-point group ``ftkit.trackers``; ftkit's own is registered in the
same way. Trackers work alike for local and hosted runs. Whichever process polls a run (``run.wait()``, ``ftkit runs``)
delivers its events, and the store remembers for each tracker how far it has come.
"""

from ftkit.runs.trackers.delivery import RunTrackers
from ftkit.runs.trackers.jsonl import JsonLinesTracker
from ftkit.runs.trackers.metric_tracker import MetricTracker
from ftkit.runs.trackers.protocol import Tracker, TrackerWarning, check_tracker
from ftkit.runs.trackers.registry import TRACKERS, check_trackers, create_tracker

__all__ = [
    "TRACKERS",
    "JsonLinesTracker",
    "MetricTracker",
    "RunTrackers",
    "Tracker",
    "TrackerWarning",
    "check_tracker",
    "check_trackers",
    "create_tracker",
]
