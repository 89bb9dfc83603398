"""``ftkit task``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ftkit.cli.console import note, out
from ftkit.cli.data_options import ChosenColumn, ColumnNames, Columns, FormatName, TargetColumn
from ftkit.counts import counted, verb

if TYPE_CHECKING:
    from ftkit.schema import Output

__all__ = ["task"]


def task(
    *,
    instructions: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Instructions for the model (the system message).")
    ] = None,
    input_: Annotated[
        str | None,
        typer.Option(
            "--input",
            metavar="TEMPLATE",
            help='Template of the user message, e.g. "{note}". Omit it if rows are conversations.',
        ),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", metavar="FILE", help="File of rows from which to infer the output. Repeatable."),
    ] = None,
    target: TargetColumn = None,
    chosen: ChosenColumn = None,
    schema: Annotated[Path | None, typer.Option(metavar="FILE", help="JSON Schema of the output.")] = None,
    class_: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Python class of the output: package.module:Visit or file.py:Visit. The module is executed.",
        ),
    ] = None,
    choices: Annotated[str | None, typer.Option(metavar="A,B,C", help="Possible answers, separated by commas.")] = None,
    text: Annotated[bool, typer.Option("--text", help="The output is free text.")] = False,
    show_schema: Annotated[bool, typer.Option(help="Describe the schema in the prompt.")] = True,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="File to write.")] = None,
    format_: FormatName = "auto",
    columns: ColumnNames = None,
) -> None:
    """Write a task file: instructions, input and output.

    The output is a JSON object, one of several choices, or text. Without --schema, --class, --choices or --text it is
    inferred from the target answers in --data: objects give a JSON Schema, few distinct texts give choices. For
    preferences, use --chosen instead of --target.
    """
    from ftkit.task import Task

    given = [name for name, value in _outputs(schema, class_, choices, text).items() if value]
    if len(given) > 1:
        raise typer.BadParameter(f"{' and '.join(given)} cannot be combined; give one", param_hint="output")
    if not given and not data:
        raise typer.BadParameter(
            "the output is missing: give --data to infer it from rows, or --schema, --class, --choices or --text"
        )
    if target is not None and chosen is not None:
        raise typer.BadParameter("--target and --chosen cannot be combined; give one", param_hint="--target")
    reading = Columns(target=target or chosen, format=format_, columns=columns)
    output_ = _given_output(schema, class_, choices) if given else _inferred(reading, data or [], input_)
    task_ = Task(instructions, input=input_, output=output_, show_schema=show_schema)
    if data and given:
        reading.load(data, task_)  # check that the files have the columns of the task
    if output is None:
        out(task_.to_yaml(), nl=False)
    else:
        task_.to_yaml(output)
        note(f"wrote {output}")


def _outputs(schema: Path | None, class_: str | None, choices: str | None, text: bool) -> dict[str, object]:
    return {"--schema": schema, "--class": class_, "--choices": choices, "--text": text}


def _given_output(schema: Path | None, class_: str | None, choices: str | None) -> Output:
    from ftkit.schema import ChoiceOutput, TextOutput, load_class, output_of

    if schema is not None:
        return _from_schema(schema)
    if class_ is not None:
        return output_of(load_class(class_))[0]
    if choices is not None:
        return ChoiceOutput(choices=tuple(choice.strip() for choice in choices.split(",")))
    return TextOutput()


def _from_schema(path: Path) -> Output:
    from ftkit.errors import ConfigError
    from ftkit.named_files import read_small_text
    from ftkit.schema import output_of

    try:
        content = json.loads(read_small_text(path))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not a JSON Schema: not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: not a JSON Schema: expected an object, got {type(content).__name__}")
    try:
        return output_of(content)[0]
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _inferred(reading: Columns, paths: list[Path], template: str | None) -> Output:
    from ftkit.schema import infer_output

    if template is not None and reading.target is None:
        raise typer.BadParameter("give the column of the target answers", param_hint="--target")
    # The last part of a nested target. An invalid name leaves the default.
    name = (reading.target or "").rpartition(".")[2]
    inferred = infer_output(
        _target_answers(reading, paths, template),
        **({"name": name} if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name) else {}),
    )
    note(f"output inferred from the rows: {_describe(inferred)}")
    return inferred


def _target_answers(reading: Columns, paths: list[Path], template: str | None) -> Iterator[Any]:
    """Yield each row's answer as read, without validation. Answers that only call tools have nothing to infer from."""
    from ftkit.data.column_value import column_value
    from ftkit.error_text import Argument, ErrorText
    from ftkit.errors import DataError
    from ftkit.task import Task

    target = reading.target
    as_text = replace(reading, target=None).load(paths, Task(input=template))
    calls = texts = 0
    for row in as_text:
        if target is None and row.completion is None:
            raise DataError(
                ErrorText(
                    "the row is a prompt and has no answer from which to infer the output. Name the column of the "
                    "answers with ",
                    *(Argument("target", "COLUMN"), ", or say what the output is, e.g. with "),
                    Argument("text"),
                ),
                place=row.place,
            )
        if target is None and row.completion is not None and row.completion.get("content") is None:
            calls += 1
            continue
        value = row.target if target is None else column_value(row.columns, target, row.place)
        if value is None:
            raise DataError("the target answer is null; remove the row", place=row.place, field=target)
        texts += 1
        yield value
    if calls and not texts:
        raise DataError(
            ErrorText(
                f"each of the {counted(calls, 'answer')} calls tools and has no text from which to infer the output. "
                "An output is what the texts of answers are; for any text give ",
                Argument("text"),
            ),
            place=as_text.place(0),
        )
    if calls:
        note(
            f"{counted(calls, 'answer')} {verb(calls, 'calls tools and has', 'call tools and have')} no "
            f"text and {verb(calls, 'is', 'are')} left out"
        )


def _describe(output: Output) -> str:
    from ftkit.schema import ChoiceOutput, JsonOutput

    if isinstance(output, ChoiceOutput):
        return f"one of {counted(len(output.choices), 'choice')}: {', '.join(output.choices)}"
    if isinstance(output, JsonOutput):
        fields = output.fields()
        return f"a JSON object with {counted(len(fields), 'key')}: {', '.join(fields)}" if fields else "a JSON value"
    return "text"
