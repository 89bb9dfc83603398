"""The responses of all projects, so that a later request may go on from one."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from ftkit.server.errors import ApiError, not_found
from ftkit.server.state import State

__all__ = ["ResponseTable"]

_DAYS = 30
"""How long a response is kept, as at OpenAI."""
_MOST = 10_000
"""Most responses of a project; older ones are deleted."""
_MAX_MESSAGES = 2_048
"""Most messages of a conversation that goes on from earlier responses."""


class ResponseTable:
    """The stored responses. A response holds its own messages, and names the one that it goes on from.

    Args:
        state: the server's tables.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def add(
        self, project: str, response: dict[str, Any], items: Sequence[Any], messages: Sequence[dict[str, Any]]
    ) -> None:
        """Store a response, and delete the project's oldest ones.

        Args:
            project: the owning project.
            response: the response object.
            items: the input items of its request.
            messages: the messages of its request and its answer, in the form of chat completions.
        """
        now = int(time.time())
        values = (
            response["id"],
            project,
            now,
            response["previous_response_id"],
            *(json.dumps(value, ensure_ascii=False) for value in (response, items, messages)),
        )
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO responses (id, project, created_at, previous_id, record, items, messages) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            connection.execute(
                "DELETE FROM responses WHERE created_at < ? OR seq IN "
                "(SELECT seq FROM responses WHERE project = ? ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (now - _DAYS * 86_400, project, _MOST),
            )

    def get(self, response_id: str, project: str) -> dict[str, Any]:
        """Return a response object.

        Args:
            response_id: its id.
            project: the project that must own it.

        Returns:
            The object as it was sent.

        Raises:
            ApiError: 404 if the project has no such response.
        """
        found: dict[str, Any] = json.loads(self._row(response_id, project)[0])
        return found

    def input_items(self, response_id: str, project: str) -> list[dict[str, Any]]:
        """Return the input items of a response's request.

        Args:
            response_id: the response's id.
            project: the project that must own it.

        Returns:
            The items, in the order of the request.

        Raises:
            ApiError: 404 if the project has no such response.
        """
        found: list[dict[str, Any]] = json.loads(self._row(response_id, project)[1])
        return found

    def conversation(self, response_id: str, project: str) -> list[dict[str, Any]]:
        """Return the messages up to a response, its answer included. Instructions are not carried over, as at OpenAI.

        Args:
            response_id: the response's id.
            project: the project that must own it.

        Returns:
            Messages in the form of chat completions.

        Raises:
            ApiError: 400 if the project has no such response, or the conversation is too long.
        """
        messages: list[dict[str, Any]] = []
        previous: str | None = response_id
        while previous is not None:
            try:
                row = self._row(previous, project)
            except ApiError:
                message = f"Previous response with id '{previous[:100]}' not found."
                raise ApiError(400, message, param="previous_response_id", code="previous_response_not_found") from None
            messages = [*json.loads(row[2]), *messages]
            previous = row[3]
            if len(messages) > _MAX_MESSAGES:
                message = f"The conversation has more than {_MAX_MESSAGES:,} messages; begin another one."
                raise ApiError(400, message, param="previous_response_id", code="invalid_value")
        return messages

    def delete(self, response_id: str, project: str) -> None:
        """Delete a response. Responses that go on from it cannot be gone on from any more.

        Args:
            response_id: its id.
            project: the project that must own it.

        Raises:
            ApiError: 404 if the project has no such response.
        """
        self._row(response_id, project)
        with self._state.connection() as connection:
            connection.execute("DELETE FROM responses WHERE id = ? AND project = ?", (response_id, project))

    def _row(self, response_id: str, project: str) -> tuple[str, str, str, str | None]:
        with self._state.connection() as connection:
            row = connection.execute(
                "SELECT record, items, messages, previous_id FROM responses "
                "WHERE id = ? AND project = ? AND created_at >= ?",
                (response_id, project, int(time.time()) - _DAYS * 86_400),
            ).fetchone()
        if row is None:
            raise not_found("response", response_id[:100])
        return (row[0], row[1], row[2], row[3])
