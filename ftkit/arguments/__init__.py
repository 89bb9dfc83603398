"""Check what callers pass, and say what to pass instead."""

from ftkit.arguments.calls import explain_calls
from ftkit.arguments.kinds import check_amount, check_kind
from ftkit.arguments.other_names import other_name, our_name

__all__ = ["check_amount", "check_kind", "explain_calls", "other_name", "our_name"]
