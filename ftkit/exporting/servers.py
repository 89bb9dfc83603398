"""Which servers take an export: dated facts from ``servers.toml``, none of which was tried."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Server", "servers_for"]


class Server(BaseModel):
    """Whether a server takes an export.

    Attributes:
        name: the server.
        takes: ``"yes"``; ``"converted"``, after its own converter has made another file of it; ``"no"``; ``"unknown"``.
        why: how, or why not.
        source: where that is written.
        as_of: when it was read there.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    takes: Literal["yes", "converted", "no", "unknown"]
    why: str
    source: str
    as_of: date


class _Fact(BaseModel):
    """A row of the file: a statement, and the lists of what it holds for; an absent list holds for everything."""

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

    def holds(self, form: str, adapter: str, dtype: str, traits: frozenset[str]) -> bool:
        asked = ((self.forms, {form}), (self.adapters, {adapter}), (self.dtypes, {dtype}), (self.traits, traits))
        return all(listed is None or bool(set(listed) & set(known)) for listed, known in asked)


def servers_for(form: str, *, adapter: str, dtype: str, traits: Iterable[str] = ()) -> tuple[Server, ...]:
    """What is known of each server, in the file's order.

    Args:
        form: ``"merged"``, ``"adapter"`` or ``"ollama"``.
        adapter: kind of the adapter that was trained; ``"full"``, or ``"none"`` for an untuned model.
        dtype: of the exported weights: ``"bf16"``, ``"fp16"`` or ``"fp32"``.
        traits: ``"rslora"``, ``"modules_to_save"``, ``"high_rank"`` (above 16).
    """
    known = frozenset(traits)
    found: dict[str, Server] = {}
    for fact in _facts():
        if fact.server not in found and fact.holds(form, adapter, dtype, known):
            found[fact.server] = Server(
                name=fact.server, takes=fact.takes, why=fact.why, source=fact.source, as_of=fact.as_of
            )
    return tuple(found.values())


@cache
def _facts() -> tuple[_Fact, ...]:
    text = (files("ftkit.exporting") / "servers.toml").read_text(encoding="utf-8")
    return tuple(_Fact.model_validate(one) for one in tomllib.loads(text)["fact"])
