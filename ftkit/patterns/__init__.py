"""Regular expressions that users write, searched within bounds of time."""

from __future__ import annotations

from ftkit.patterns.pattern import Pattern, PatternError, PatternTimeoutError, compile_pattern

__all__ = ["Pattern", "PatternError", "PatternTimeoutError", "compile_pattern"]
