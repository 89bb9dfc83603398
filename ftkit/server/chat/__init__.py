"""``/v1/chat/completions`` and ``/metrics``. Importing ``metrics`` or ``route`` loads torch; see ``lazy_chat``.

Workers import the request's classes from here, so nothing is imported at package level.
"""
