"""The responses of all projects, so that a later request may go on from one."""

from __future__ import annotations

import json
import sqlite3
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
_MOST_BYTES = 2**30
"""Most bytes of the responses of a project; older ones are deleted."""
_MAX_MESSAGES = 2_048
"""Most messages of a conversation that goes on from earlier responses."""
_MAX_CHARACTERS = 16_000_000
"""Most characters of such a conversation, and of the items that a request refers to: two bodies of a request."""


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
        texts = [json.dumps(value, ensure_ascii=False) for value in (response, items, messages)]
        own = {str(item["id"]): json.dumps(item, ensure_ascii=False) for item in (*items, *response["output"])}
        size = sum(len(text.encode()) for text in (*texts, *own.values()))
        values = (response["id"], project, now, response["previous_response_id"], *texts)
        with self._state.connection() as connection:
            connection.execute(
                "INSERT INTO responses (id, project, created_at, previous_id, record, items, messages) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            connection.execute("INSERT INTO response_sizes VALUES (?, ?)", (response["id"], size))
            connection.executemany(
                "INSERT INTO response_items VALUES (?, ?, ?, ?)",
                [(response["id"], project, name, text) for name, text in own.items()],
            )
            self._make_room(connection, project, now)

    @staticmethod
    def _make_room(connection: sqlite3.Connection, project: str, now: int) -> None:
        """Delete responses that are too old, and the oldest of the project where it has too many or too large ones."""
        connection.execute("DELETE FROM responses WHERE created_at < ?", (now - _DAYS * 86_400,))
        stored = connection.execute(
            "SELECT seq, coalesce(bytes, 0) FROM responses LEFT JOIN response_sizes ON response_id = id "
            "WHERE project = ? ORDER BY seq DESC",
            (project,),
        ).fetchall()
        total = 0
        for number, (seq, size) in enumerate(stored):
            total += size
            if number >= _MOST or (total > _MOST_BYTES and number > 0):
                connection.execute("DELETE FROM responses WHERE project = ? AND seq <= ?", (project, seq))
                break

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
        turns: list[list[dict[str, Any]]] = []
        previous: str | None = response_id
        count = characters = 0
        with self._state.connection() as connection:
            while previous is not None:
                row = connection.execute(
                    "SELECT messages, previous_id FROM responses WHERE id = ? AND project = ? AND created_at >= ?",
                    (previous, project, int(time.time()) - _DAYS * 86_400),
                ).fetchone()
                if row is None:
                    message = f"Previous response with id '{previous[:100]}' not found."
                    raise _invalid_previous(message, "previous_response_not_found")
                characters += len(row[0])
                if characters > _MAX_CHARACTERS:
                    message = f"The conversation has more than {_MAX_CHARACTERS:,} characters; begin another one."
                    raise _invalid_previous(message)
                turns.append(json.loads(row[0]))
                count += len(turns[-1])
                if count > _MAX_MESSAGES:
                    message = f"The conversation has more than {_MAX_MESSAGES:,} messages; begin another one."
                    raise _invalid_previous(message)
                previous = row[1]
        return [message for turn in reversed(turns) for message in turn]

    def stored_items(self, ids: Sequence[str], project: str) -> dict[str, dict[str, Any]]:
        """Return items of stored responses: inputs and outputs.

        Args:
            ids: their ids.
            project: the project that must own them.

        Returns:
            Items by id.

        Raises:
            ApiError: 404 if the project has no such item; 400 if they are too large together.
        """
        found: dict[str, dict[str, Any]] = {}
        characters = 0
        with self._state.connection() as connection:
            for item_id in dict.fromkeys(ids):
                row = connection.execute(
                    "SELECT item FROM response_items JOIN responses ON responses.id = response_id "
                    "WHERE response_items.project = ? AND response_items.id = ? AND created_at >= ? "
                    "ORDER BY seq DESC LIMIT 1",
                    (project, item_id, int(time.time()) - _DAYS * 86_400),
                ).fetchone()
                if row is None:
                    message = f"Item with id '{item_id[:100]}' not found. Items are kept of stored responses only."
                    raise ApiError(404, message, param="input")
                characters += len(row[0])
                if characters > _MAX_CHARACTERS:
                    message = f"Invalid value for 'input': its items have more than {_MAX_CHARACTERS:,} characters."
                    raise ApiError(400, message, param="input", code="invalid_value")
                found[item_id] = json.loads(row[0])
        return found

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


def _invalid_previous(message: str, code: str = "invalid_value") -> ApiError:
    return ApiError(400, message, param="previous_response_id", code=code)
