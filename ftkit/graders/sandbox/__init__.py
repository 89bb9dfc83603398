"""Running foreign Python so that it can do no harm, and so that what it does is known."""

from ftkit.graders.sandbox.processes import stopped_on_error
from ftkit.graders.sandbox.runner import check_isolation, run_sandboxed

__all__ = ["check_isolation", "run_sandboxed", "stopped_on_error"]
