"""D: the shape of rows."""

from __future__ import annotations

from collections.abc import Iterator

from ftkit.data.formats import detected_formats
from ftkit.linting.context import Setting
from ftkit.linting.finding import Found
from ftkit.linting.row_view import Seen
from ftkit.linting.rule import RowRule
from ftkit.linting.rules.row_errors import FaultyRow
from ftkit.linting.text_normalization import excerpt

__all__ = [
    "EmptyTarget",
    "MixedFormats",
    "NeverLearned",
    "RoleOrder",
    "ToolCallWithoutResult",
    "UnreadableRow",
]


def other_format(seen: Seen, setting: Setting) -> str | None:
    """The format that a row which cannot be read has instead of the others'."""
    if seen.row is not None or not seen.columns or setting.format == "table":
        return None
    fitting = [each.name for each in detected_formats() if each.matches(seen.columns)]
    return fitting[0] if fitting and setting.format not in fitting else None


class UnreadableRow(RowRule):
    """The row cannot be read: it is not JSON or not UTF-8, a key stands twice in an object, a column is missing, or a
    value has a type that the format does not know. ftkit refuses to train on such rows, and hosts refuse the file.

    The message says what is wrong and where. Mend the row or delete its line.
    """

    code = "D001"
    name = "unreadable-row"
    summary = "The row cannot be read."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        error = seen.error
        if error is None or error.problem is not None or seen.output_error is not None or other_format(seen, setting):
            return
        shown = excerpt(str(dict(seen.columns)), width=100) if seen.columns else None
        yield Found(error.message, error.field, shown)


class RoleOrder(FaultyRow):
    """A turn stands where it may not: an unknown role, instructions that are not the first turn, or a tool's answer
    that no call asked for. Chat templates and hosts refuse such conversations or render them in a way that the model
    never sees again.

    Put the turns in the order system, user, assistant, …, with tool turns only after the call that they answer.
    """

    code = "D002"
    name = "role-order"
    summary = "A turn has a role that is unknown or may not stand there."
    problems = ("role",)


class EmptyTarget(FaultyRow):
    """There is nothing to learn: the answer is missing, null, empty or blank. Trained on, it would teach the model to
    say nothing.

    Write the answer that is wanted (also "no answer" is one), or leave the row out.
    """

    code = "D003"
    name = "empty-target"
    summary = "The wanted answer is missing or blank."
    problems = ("empty_answer", "no_answer")

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        yield from super().check(seen, setting)
        row = seen.row
        if row is not None and row.completion is None and setting.kind != "prompts":
            yield Found(
                "there is no answer to learn; name its column with target= (--target)", None, excerpt(seen.input)
            )
            return
        blank = seen.output_error is not None and not (seen.wanted or "").strip(" \t\r\n\"'")
        if blank:
            yield Found("the answer is empty", seen.error.field if seen.error else None)


class NeverLearned(RowRule):
    """Every assistant turn has weight 0, so the row costs tokens and teaches nothing. ftkit's engine refuses it.

    Give the turn that is to be learned weight 1, or none.
    """

    code = "D004"
    name = "never-learned"
    summary = "All assistant turns have weight 0."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        row = seen.row
        if row is None or row.completion is None or row.rejected is not None:
            return
        if not any(turn.get("weight", 1) for turn in row.messages if turn["role"] == "assistant"):
            yield Found(
                "every assistant turn has weight 0: nothing is learned from the row",
                f"messages[{len(row.prompt)}].weight",
            )


class ToolCallWithoutResult(RowRule):
    """An assistant turn calls a tool, and the conversation goes on without the tool's answer. The model learns to
    invent what the tool would have said; several hosts refuse the row.

    Add a turn of role "tool" with the call's id before the next turn. A call in the last turn needs no answer.
    """

    code = "D005"
    name = "tool-call-without-result"
    summary = "A tool is called, and its answer is not in the conversation."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        waiting: dict[str, str] = {}
        for number, turn in enumerate(seen.messages):
            if turn["role"] == "tool":
                waiting.pop(turn.get("tool_call_id", ""), None)
                continue
            if waiting:
                where, name = next(iter(waiting.items()))[1], len(waiting)
                more = f" and {name - 1} more" if name > 1 else ""
                yield Found(f"the call{more} has no answer before turn {number}", where)
                return
            waiting = {
                call["id"]: f"messages[{number}].tool_calls[{at}]"
                for at, call in enumerate(turn.get("tool_calls") or ())
            }


class MixedFormats(RowRule):
    """The row is written in another format than the rows before it (say, Alpaca columns among OpenAI messages). Which
    one is meant is never guessed: readers that guess drop such rows or learn half of them.

    Convert the row, or put rows of one format into one file.
    """

    code = "D006"
    name = "mixed-formats"
    summary = "The row has another format than the others."
    severity = "error"

    def check(self, seen: Seen, setting: Setting) -> Iterator[Found]:
        other = other_format(seen, setting)
        if other is not None:
            yield Found(f"{other} here, {setting.format} elsewhere", None, excerpt(str(dict(seen.columns)), width=100))
