"""Chat completions: requests, replies, streams, tool calls; and what monitoring reads."""

from ftkit.server.chat.metrics import Metrics
from ftkit.server.chat.route import routes

__all__ = ["Metrics", "routes"]
