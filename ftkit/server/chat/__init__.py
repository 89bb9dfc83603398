"""``/v1/chat/completions`` and ``/metrics``. Importing this package loads torch; see ``lazy_chat``."""

from ftkit.server.chat.metrics import Metrics
from ftkit.server.chat.route import routes

__all__ = ["Metrics", "routes"]
