"""Chat templates as texts: the plain one, and the hash of a tokenizer's."""

from __future__ import annotations

import json
from typing import Any

from ftkit.files import canonical_digest

__all__ = ["PLAIN_TEMPLATE", "is_template_hash", "plain_template", "template_hash"]

PLAIN_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{ '### ' + message['role'] + '\n' + message['content'] + eos_token + '\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '### assistant\n' }}{%- endif -%}"
)
"""The template of tokenizers without one (base models); saved with the tuned model like any other template."""


def plain_template(tokenizer: Any) -> str:
    """Return the template for a tokenizer without one.

    Args:
        tokenizer: a transformers tokenizer.

    Returns:
        :data:`PLAIN_TEMPLATE`, with the beginning-of-sequence token in front if the tokenizer adds it to texts, since
        the model was trained with it.
    """
    bos = tokenizer.bos_token_id
    adds_bos = bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos]
    return "{{- bos_token -}}" + PLAIN_TEMPLATE if adds_bos else PLAIN_TEMPLATE


def template_hash(tokenizer: Any) -> str:
    """Hash a tokenizer's chat template, which training and serving must share.

    Args:
        tokenizer: a transformers tokenizer with a chat template, or several with names.

    Returns:
        ``sha256:`` and 64 hexadecimal digits. The order of named templates, which depends on the listing of a folder,
        does not matter.
    """
    template = tokenizer.chat_template
    return canonical_digest(json.dumps(template, sort_keys=True) if isinstance(template, dict) else str(template))


def is_template_hash(tokenizer: Any, known: str) -> bool:
    """Say whether a hash is that of a tokenizer's chat template.

    Args:
        tokenizer: a transformers tokenizer with a chat template.
        known: the hash, perhaps one that ftkit 0.1 made of named templates in the order of their listing.

    Returns:
        Whether it is.
    """
    return known in (template_hash(tokenizer), canonical_digest(str(tokenizer.chat_template)))
