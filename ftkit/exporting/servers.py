"""Which servers take an export, from the dated facts in ``servers.toml``. None of them was tried."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ftkit.recipe import ADAPTERS

__all__ = ["Server", "servers_for"]


class Server(BaseModel):
    """Whether a server takes an export.

    Attributes:
        name: the server.
        takes: ``"yes"``; ``"converted"``, after its own converter was run; ``"no"``; or ``"unknown"``.
        why: how, or why not.
        source: the document that says so.
        as_of: date on which the document was read.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    takes: Literal["yes", "converted", "no", "unknown"]
    why: str
    source: str
    as_of: date


class _Fact(BaseModel):
    """A row of the file: a fact, and the lists of what it applies to. A missing list applies to everything."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    server: str
    forms: tuple[str, ...] | None = None
    adapters: tuple[str, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    traits: tuple[str, ...] | None = None
    takes: Literal["yes", "converted", "no", "unknown"]
    why: str
    source: str
    as_of: date

    def applies(self, form: str, adapter: str, dtype: str, traits: frozenset[str]) -> bool:
        """Return whether the fact applies to an export."""
        asked = ((self.forms, {form}), (self.adapters, {adapter}), (self.dtypes, {dtype}), (self.traits, traits))
        return all(listed is None or bool(set(listed) & set(known)) for listed, known in asked)


def servers_for(form: str, *, adapter: str, dtype: str, traits: Iterable[str] = ()) -> tuple[Server, ...]:
    """List what is known of each server, in the order of the file.

    Args:
        form: ``"merged"``, ``"adapter"``, ``"ollama"`` or ``"gguf"``.
        adapter: kind of the trained adapter; ``"full"``, or ``"none"`` for an untuned model.
        dtype: type of the exported weights: ``"bf16"``, ``"fp16"`` or ``"fp32"``.
        traits: any of ``"rslora"``, ``"modules_to_save"``, ``"high_rank"`` (above 16).

    Returns:
        One entry per server.
    """
    known = frozenset(traits)
    found: dict[str, Server] = {}
    trained = ADAPTERS.find(adapter)
    own = None if trained is None or form != "adapter" else trained.servers
    for fact in _facts() if own is None else map(_Fact.model_validate, own):
        if fact.server not in found and fact.applies(form, adapter, dtype, known):
            found[fact.server] = Server(
                name=fact.server, takes=fact.takes, why=fact.why, source=fact.source, as_of=fact.as_of
            )
    return tuple(found.values())


@cache
def _facts() -> tuple[_Fact, ...]:
    text = (files("ftkit.exporting") / "servers.toml").read_text(encoding="utf-8")
    return tuple(_Fact.model_validate(one) for one in tomllib.loads(text)["fact"])
