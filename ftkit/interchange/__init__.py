"""Results of other evaluation tools as reports, and reports in their forms."""

from ftkit.interchange.foreign import Document, ForeignAnswer, ForeignResults
from ftkit.interchange.form import FORMS, InterchangeForm
from ftkit.interchange.promptfoo_config import (
    PromptfooConfig,
    export_promptfoo_config,
    import_promptfoo_config,
)
from ftkit.interchange.report_builder import answers_as_rows, export_report, import_reports

__all__ = [
    "FORMS",
    "Document",
    "ForeignAnswer",
    "ForeignResults",
    "InterchangeForm",
    "PromptfooConfig",
    "answers_as_rows",
    "export_promptfoo_config",
    "export_report",
    "import_promptfoo_config",
    "import_reports",
]
