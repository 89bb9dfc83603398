"""Outputs: an answer is one JSON value, one of a few choices, or text.

An :class:`Output` is plain data. It describes itself for the prompt, writes the wanted answer in one canonical form,
and parses a model's text strictly: an invalid answer is an :class:`~ftkit.errors.OutputError` with its JSON path.
"""

from __future__ import annotations

from ftkit.schema.choice_output import ChoiceOutput
from ftkit.schema.class_lookup import load_class
from ftkit.schema.frozen_model import DeclaredModel, FrozenModel
from ftkit.schema.json_output import JsonOutput
from ftkit.schema.output import Output
from ftkit.schema.output_spec import AnyOutput, output_of
from ftkit.schema.schema_inference import infer_output
from ftkit.schema.text_output import TextOutput

__all__ = [
    "AnyOutput",
    "ChoiceOutput",
    "DeclaredModel",
    "FrozenModel",
    "JsonOutput",
    "Output",
    "TextOutput",
    "infer_output",
    "load_class",
    "output_of",
]
