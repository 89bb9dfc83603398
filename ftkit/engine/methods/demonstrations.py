"""Supervised fine-tuning: the mean negative log-likelihood of the supervised tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.data import Row
from ftkit.engine.forward import Forward
from ftkit.engine.methods.method import Method, Outcome
from ftkit.engine.rendered import Example
from ftkit.engine.rendering import Renderer
from ftkit.engine.tree import Pack
from ftkit.errors import DataError

__all__ = ["demonstrations", "supervised_tokens"]


def demonstrations() -> Method:
    """Each row is one example, or one for each supervised turn where the template rewrites history."""
    return Method(_render, supervised_tokens, _loss)


def _render(row: Row, renderer: Renderer) -> list[Example]:
    if row.completion is None:
        raise DataError("the row has no answer to learn from", place=row.place)
    return [Example((one,)) for one in renderer.examples(row.messages, row.tools, row.place)]


def supervised_tokens(examples: Sequence[Example]) -> float:
    """How many there are: what a batch's loss is divided by."""
    return float(sum(one.supervised.sum() for example in examples for one in example.sequences))


def _loss(forward: Forward, pack: Pack, examples: Sequence[Example]) -> Outcome:
    return Outcome(forward.loss(pack)[0], {})
