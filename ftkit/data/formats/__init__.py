"""The forms that rows come in, and which one a file is written in.

A format is a small class (see :class:`ftkit.data.formats.base.Format`); a new one is added to :data:`FORMATS`.
"""

from __future__ import annotations

from ftkit.data.formats.alpaca import Alpaca
from ftkit.data.formats.base import Conversation, Format, RawRow, margin_of
from ftkit.data.formats.detection import FORMATS, choose_format
from ftkit.data.formats.messages import text_content
from ftkit.data.formats.openai import OpenAI
from ftkit.data.formats.openai_preference import OpenAIPreference
from ftkit.data.formats.openai_prompts import OpenAIPrompts
from ftkit.data.formats.preference import learn_answers_only
from ftkit.data.formats.prompt_completion import PromptCompletion
from ftkit.data.formats.sharegpt import ShareGPT
from ftkit.data.formats.table import Table
from ftkit.data.formats.trl_preference import TRLPreference

__all__ = [
    "FORMATS",
    "Alpaca",
    "Conversation",
    "Format",
    "OpenAI",
    "OpenAIPreference",
    "OpenAIPrompts",
    "PromptCompletion",
    "RawRow",
    "ShareGPT",
    "TRLPreference",
    "Table",
    "choose_format",
    "learn_answers_only",
    "margin_of",
    "text_content",
]
