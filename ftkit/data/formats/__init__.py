"""Dataset formats: how a row of a file becomes a conversation, and how a conversation becomes a row.

A format is one class, see :class:`Format`, registered in :data:`FORMATS` under the name that users write.
"""

from __future__ import annotations

from ftkit.data.formats.base import Conversation, Format, RawRow, read_boolean, read_list, read_margin, read_text
from ftkit.data.formats.content import REASONING, answer_key, text_content
from ftkit.data.formats.detection import choose_format
from ftkit.data.formats.messages import MEDIA, MESSAGE_KEYS, read_messages, read_system, unread_keys
from ftkit.data.formats.preference_pair import check_labelled, learn_answers_only
from ftkit.data.formats.registry import FORMATS, detected_formats
from ftkit.data.formats.tools import read_tools

__all__ = [
    "FORMATS",
    "MEDIA",
    "MESSAGE_KEYS",
    "REASONING",
    "Conversation",
    "Format",
    "RawRow",
    "answer_key",
    "check_labelled",
    "choose_format",
    "detected_formats",
    "learn_answers_only",
    "read_boolean",
    "read_list",
    "read_margin",
    "read_messages",
    "read_system",
    "read_text",
    "read_tools",
    "text_content",
    "unread_keys",
]
