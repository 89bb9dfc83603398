"""``/v1/chat/completions``, ``/v1/completions``, ``/v1/embeddings`` and ``/metrics``.

Importing ``metrics`` or a module of routes loads torch; see ``lazy_chat``.

Workers import the request's classes from here, so nothing is imported at package level.
"""
