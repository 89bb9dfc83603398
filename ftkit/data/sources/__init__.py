"""Files of rows: one class for each kind of file, and the corpus that several files make."""

from __future__ import annotations

from ftkit.data.sources.base import MAX_LINE_BYTES, Reader, Source
from ftkit.data.sources.corpus import Corpus, CorpusReader
from ftkit.data.sources.registry import SOURCES, open_source

__all__ = ["MAX_LINE_BYTES", "SOURCES", "Corpus", "CorpusReader", "Reader", "Source", "open_source"]
