"""D: the shape of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typing_extensions import override

from ftkit.counts import counted
from ftkit.data.column_value import find_column_value
from ftkit.data.formats import detected_formats, text_content
from ftkit.errors import DataProblem
from ftkit.linting.context import LintContext
from ftkit.linting.corpus import Corpus
from ftkit.linting.finding import RuleFinding
from ftkit.linting.row_view import RowView, media_parts
from ftkit.linting.rule import RowRule, VariantRule
from ftkit.linting.text_normalization import excerpt, is_blank
from ftkit.linting.variant_counter import VariantCounter


class RowErrorRule(RowRule):
    """Report rows that reading refused with one of certain problems, see :class:`~ftkit.errors.DataError`."""

    severity = "error"
    problems: tuple[DataProblem, ...] = ()

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        error = view.error
        if error is not None and error.problem in self.problems:
            yield RuleFinding(error.message, error.field)


def _other_format(view: RowView, context: LintContext) -> str | None:
    """The format of a row that cannot be read, if it has another format than the others."""
    if view.row is not None or not view.columns or context.format == "table":
        return None
    fitting = [each.name for each in detected_formats() if each.matches(view.columns)]
    return fitting[0] if fitting and context.format not in fitting else None


class UnreadableRow(RowRule):
    """The row cannot be read.

    The row cannot be read: it is not JSON or not UTF-8, an object has a duplicate key, a column is missing, or a
    value has a type that the format does not know. ftkit does not train on such rows, and hosts refuse the file.

    The message says what is wrong and where. Correct the row or delete its line.
    """

    code = "D001"
    name = "unreadable-row"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        error = view.error
        if error is None or error.problem is not None or view.output_error is not None or _other_format(view, context):
            return
        shown = excerpt(str(dict(view.columns)), width=100) if view.columns else None
        yield RuleFinding(error.message, error.field, shown)


class RoleOrder(RowErrorRule):
    """A turn has an unknown role or is in the wrong position.

    A turn has an unknown role or is in the wrong position: instructions that are not the first turn, or a tool
    result that no call asked for. Chat templates and hosts refuse such conversations, or render them in a way that
    the model does not see at inference.

    Order the turns system, user, assistant, …, with tool turns only after the call that they answer.
    """

    code = "D002"
    name = "role-order"
    problems = ("role",)


class EmptyTarget(RowErrorRule):
    """The answer is missing or blank.

    There is nothing to learn: the answer is missing, null, empty or blank. A model trained on it would learn to
    answer nothing.

    Write the answer that the model should give ("no answer" is an answer too), or delete the row.
    """

    code = "D003"
    name = "empty-target"
    problems = ("empty_answer", "no_answer")

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if view.row is not None:
            return
        yield from super().check(view, context)
        blank = view.output_error is not None and not (view.answer_text or "").strip(" \t\r\n\"'")
        if blank:
            yield RuleFinding("the answer is empty", view.error.field if view.error else None)


class NeverLearned(RowRule):
    """All assistant turns have weight 0.

    Every assistant turn has weight 0, so the row costs tokens and teaches nothing. ftkit does not train on it.

    Give the turn that should be learned weight 1, or remove its weight.
    """

    code = "D004"
    name = "never-learned"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        row = view.row
        if row is None or row.completion is None or row.rejected is not None:
            return
        if row.completion.get("weight", 1):
            return
        if not any(turn.get("weight", 1) for turn in view.messages if turn["role"] == "assistant"):
            yield RuleFinding(
                "every assistant turn has weight 0: nothing is learned from the row",
                f"messages[{len(row.prompt)}].weight",
            )


class ToolCallWithoutResult(RowRule):
    """A tool is called, and its result is not in the conversation.

    An assistant turn calls a tool, and the conversation continues without the tool's result. The model learns to
    invent the result, and several hosts refuse the row.

    Add a turn of role "tool" with the id of the call before the next turn. A call in the last turn needs no result.
    """

    code = "D005"
    name = "tool-call-without-result"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        if not view.tool_calls:
            return
        pending: dict[str, str] = {}
        for number, turn in enumerate(view.messages):
            if turn["role"] == "tool":
                pending.pop(turn.get("tool_call_id", ""), None)
                continue
            if pending:
                more = f" and {len(pending) - 1} more" if len(pending) > 1 else ""
                yield RuleFinding(f"the call{more} has no result before turn {number}", next(iter(pending.values())))
                return
            pending = {
                call["id"]: f"messages[{number}].tool_calls[{at}]"
                for at, call in enumerate(turn.get("tool_calls") or ())
            }


class MixedFormats(RowRule):
    """The row has another format than the others.

    The row has another format than the rows before it, for example Alpaca columns among OpenAI messages. ftkit does
    not guess which format is meant, because programs that guess drop such rows or learn half of them.

    Convert the row, or put rows of one format into one file.
    """

    code = "D006"
    name = "mixed-formats"
    severity = "error"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        other = _other_format(view, context)
        if other is not None:
            yield RuleFinding(
                f"{other} here, {context.format} elsewhere", None, excerpt(str(dict(view.columns)), width=100)
            )


class EmptyQuestion(RowRule):
    """A user turn is empty.

    A user turn has no text, image or other content, or all columns that the task's input reads are empty. The model
    learns to answer without a question, and then answers empty requests with something that it has learned.

    Write the question, or delete the row.
    """

    code = "D007"
    name = "empty-question"

    @override
    def check(self, view: RowView, context: LintContext) -> Iterator[RuleFinding]:
        for number, turn in enumerate(view.messages):
            if turn["role"] == "user" and is_blank(text_content(turn) or "") and not media_parts(turn):
                yield RuleFinding("the user turn is empty", f"messages[{number}].content")
                return
        columns = context.task.columns if view.row is not None else ()
        if columns and all(_is_empty(view.columns, name) for name in columns):
            yield RuleFinding("every column that the input reads is empty", columns[0])


def _is_empty(columns: Mapping[str, Any], name: str) -> bool:
    """Whether a column is null, or a text or list without content."""
    try:
        value = find_column_value(columns, name)
    except KeyError:
        return False
    return value is None or value == [] or value == {} or (isinstance(value, str) and is_blank(value))


class UnreadColumn(VariantRule):
    """A column holds something, and nothing reads it.

    A column beside the conversation is not a part of the prompt or the answer. Often it holds the source of the row,
    and that is fine. But if it holds context that the answer needs, the model learns to answer without it.

    Put the text into a message, rename the column to one that the format reads, or ignore the finding. Each column is
    reported once, with its number of rows. A table has no such columns: its task names what is read.
    """

    code = "D011"
    name = "unread-column"
    severity = "info"

    @override
    def observe(self, view: RowView, context: LintContext) -> Iterator[tuple[str, str]]:
        for name in view.unread:
            yield name, ""

    @override
    def check_counts(self, counter: VariantCounter, corpus: Corpus) -> Iterator[RuleFinding]:
        for name, variants in counter:
            rows = sum(variants.values())
            message = f"the column {name:.60} holds something in {counted(rows, 'row')}, and nothing reads it"
            yield RuleFinding(message, f"{name:.60}")
