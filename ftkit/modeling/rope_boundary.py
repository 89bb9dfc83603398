"""The length at which a model's rotary positions change (LongRoPE, arXiv 2402.13753: Phi-3.5, Phi-4-mini).

Such a model rotates all positions of a pass by one set of angles up to ``original_max_position_embeddings``, and by
another one if the longest row of the pass is longer. So rows on either side must not share a pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ftkit.modeling.prefix_tree import PackedSequence, pack_examples
from ftkit.modeling.tokenized_example import Example

__all__ = ["dynamic_rope_limit", "pack_by_length", "rope_boundary"]


def rope_boundary(config: Any) -> int | None:
    """Read the longest row that a model computes with its short factors.

    Args:
        config: a transformers config.

    Returns:
        Tokens; None if the model has one set of factors.
    """
    text = config.get_text_config().to_dict()
    found = [
        one.get("original_max_position_embeddings") or text.get("original_max_position_embeddings")
        for one in _parameter_sets(text, "longrope")
    ]
    lengths = [int(length) for length in found if length]
    return min(lengths) if lengths else None


def dynamic_rope_limit(config: Mapping[str, Any]) -> int | None:
    """Read the longest row of a model whose rotary positions follow the length of the row (dynamic NTK).

    Beyond it, transformers rotates all rows of a pass by the angles of the longest one, and keeps these for shorter
    rows of later passes. So a row would be computed otherwise beside other rows, or after them.

    Args:
        config: the content of a ``config.json``, also of the text part alone.

    Returns:
        Tokens; None if the positions do not depend on the length.
    """
    text = config.get("text_config") or config
    limit = text.get("max_position_embeddings")
    return int(limit) if limit and _parameter_sets(text, "dynamic") else None


def _parameter_sets(text: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    """The parameters of one kind: either one set, or one for each kind of layer."""
    parameters = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(parameters, dict):
        return []
    sets = [parameters, *(one for one in parameters.values() if isinstance(one, dict))]
    return [one for one in sets if one.get("rope_type", one.get("type")) == kind]


def pack_by_length(
    examples: Sequence[Example], max_tokens: int, boundary: int | None, *, share: bool
) -> Iterator[tuple[PackedSequence, list[Example]]]:
    """Pack examples so that sequences on either side of a boundary do not share a pack.

    Args:
        examples: the examples.
        max_tokens: most tokens of a packed sequence.
        boundary: from :func:`rope_boundary`.
        share: whether to share prefixes. An example with sequences on both sides is packed without.

    Yields:
        A packed sequence and its examples, whose sequences it has in the same order.
    """
    groups: dict[bool, list[Example]] = {False: [], True: []}
    mixed: list[Example] = []
    for example in examples:
        beyond = {boundary is not None and len(sequence.ids) > boundary for sequence in example.sequences}
        (mixed if len(beyond) > 1 else groups[True in beyond]).append(example)
    for group in groups.values():
        yield from pack_examples(group, max_tokens, share=share)
    yield from pack_examples(mixed, 1, share=False)
