"""An interchange form: the clinic's own review sheets, one answer a line."""

from __future__ import annotations

from ftkit.errors import DataError
from ftkit.interchange import Document, ForeignAnswer, ForeignResults, InterchangeForm


class ReviewSheet(InterchangeForm):
    """``{"asked", "said", "wanted", "reviewer_agrees"}``."""

    name = "review-sheet"

    def matches(self, document: Document) -> bool:
        return isinstance(document.content, dict) and "reviewer_agrees" in document.content

    def read(self, document: Document, target: str | None) -> list[ForeignResults]:
        answers = []
        for number, (place, sheet) in enumerate(document.values()):
            if not isinstance(sheet, dict) or not isinstance(sheet.get("asked"), str):
                raise DataError(f"{place}: a sheet has asked, said, wanted and reviewer_agrees")
            answers.append(
                ForeignAnswer(
                    place=place,
                    id=str(number),
                    prompt=[{"role": "user", "content": sheet["asked"]}],
                    text=str(sheet.get("said", "")),
                    target=sheet.get("wanted"),
                    scores={"agreed": float(bool(sheet["reviewer_agrees"]))},
                )
            )
        return [ForeignResults("the clinic's model", answers)]
