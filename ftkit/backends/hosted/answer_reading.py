"""Read what a host answers: whatever cannot be read is one kind of error, and a key in it goes no further.

Hosts change their API, proxies answer with pages of their own, and a field may have any type. None of this may end in
a bare AttributeError, which also would leave open whether a job was created.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from ftkit.backends.hosted.host import JobResults, RemoteEvent, RemoteFile, RemoteJob
from ftkit.backends.hosted.redaction import without_secret
from ftkit.errors import FtkitError, HostError

__all__ = ["LONGEST_TEXT", "cleaned", "optional_text", "reading_answer", "reads_answers", "remote_id"]

HostClass = TypeVar("HostClass", bound=type[Any])

_UNREADABLE = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading data of another form than expected raises."""
LONGEST_TEXT = 100_000
"""Characters of a text about a job or a file, which is stored and shown."""
_ID_PATTERN = re.compile(r"[A-Za-z0-9._:~/+=@-]{1,512}")


@contextlib.contextmanager
def reading_answer(host: str, action: str) -> Iterator[None]:
    """Raise whatever goes wrong in the block as a ``HostError``: the host sent something else than it should.

    Args:
        host: name of the host.
        action: what the call does, e.g. ``"creating the job"``.

    Yields:
        Nothing.

    Raises:
        HostError: the block raised an error. A retry may help, and the host may have acted.
        FtkitError: the block raised this one itself.
    """
    try:
        yield
    except FtkitError:
        raise
    except _UNREADABLE as error:
        raise HostError(
            f"{host}: {action} got an answer that ftkit cannot read ({type(error).__name__}); the host may have "
            "changed its API, or a proxy answers for it",
            passing=True,
            unsure=True,
        ) from error


def reads_answers(kind: HostClass) -> HostClass:
    """Let every public method of a host read answers as :func:`reading_answer` does. Decorates the class.

    What the methods return is :func:`cleaned`, because it is stored and shown.

    Args:
        kind: a class with the attributes ``name`` and ``secret``.

    Returns:
        The class.
    """
    for name, method in list(vars(kind).items()):
        if not name.startswith("_") and inspect.isfunction(method) and not inspect.isgeneratorfunction(method):
            setattr(kind, name, _guarded(method, name.replace("_", " ")))
    return kind


def _guarded(method: Callable[..., Any], action: str) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(host: Any, *arguments: Any, **options: Any) -> Any:
        with reading_answer(host.name, action):
            return cleaned(method(host, *arguments, **options), host.secret, LONGEST_TEXT)

    return guarded


def cleaned(value: Any, secret: str = "", longest: int | None = None) -> Any:
    """Return what a host sent in a form that can be stored and shown.

    Args:
        value: JSON data, or what a method of a host returns.
        secret: the API key.
        longest: characters of a text after which the rest is left out; None keeps all, as of answers of models.

    Returns:
        The same, with ``[key]`` in place of the key, and escapes in place of halves of characters, which JSON allows
        and no file can hold.
    """
    if isinstance(value, str):
        text = without_secret(value, secret)
        if longest is not None and len(text) > longest:
            text = f"{text[:longest]}… ({len(text) - longest:,} more characters)"
        return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {cleaned(name, secret, longest): cleaned(item, secret, longest) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cleaned(item, secret, longest) for item in value)
    if isinstance(value, RemoteJob | RemoteFile | RemoteEvent | JobResults):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return dataclasses.replace(value, **cleaned(fields, secret, longest))
    return value


def remote_id(value: Any, what: str, host: str) -> str:
    """Check an id that a host sent. It becomes part of addresses of later calls.

    Args:
        value: the id.
        what: what has it, e.g. ``"the job"``.
        host: name of the host.

    Returns:
        The id.

    Raises:
        HostError: there is none, or it is no id. The host may have acted.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text:
        raise HostError(f"{host}: {what} has no id", passing=True, unsure=True)
    if not _ID_PATTERN.fullmatch(text) or ".." in text.split("/"):
        raise HostError(f"{host}: {what} has an id that is none: {text[:80]!r}", passing=True, unsure=True)
    return text


def optional_text(value: Any) -> str | None:
    """Return a text that a host may send.

    Args:
        value: what it sent.

    Returns:
        The text; None for an empty one, and for anything else.
    """
    return value if isinstance(value, str) and value else None
