"""Configurations of promptfoo: a prompt, tests with variables, and assertions; read as a task and rows, and written.

Source: https://www.promptfoo.dev/docs/configuration/reference/.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftkit.counts import counted
from ftkit.data import Dataset
from ftkit.error_text import Argument, ErrorText, error_text
from ftkit.errors import ConfigError, DataError
from ftkit.files import write_atomically
from ftkit.interchange.foreign import MAX_ROWS, items_of
from ftkit.interchange.promptfoo_tests import read_tests, resolved
from ftkit.interchange.promptfoo_values import FILE, VARIABLE, as_text, filled_in
from ftkit.named_files import read_small_text
from ftkit.schema import Output, infer_output, output_of
from ftkit.task import Task
from ftkit.task.template import Template
from ftkit.yaml_text import read_yaml, read_yaml_value, write_yaml

__all__ = ["PromptfooConfig", "export_promptfoo_config", "import_promptfoo_config"]

TARGET = "expected"
"""Column of the wanted answer in the rows that are read."""
_TEXT_FILES = (".txt", ".md", ".json", ".j2")


@dataclass(frozen=True, slots=True)
class PromptfooConfig:
    """What a configuration says.

    Attributes:
        task: the prompt, and the output that allows every wanted answer.
        rows: the variables of each test, with the wanted answer in ``expected`` where an assertion names it.
        left_out: what was not read, in words.
    """

    task: Task
    rows: Sequence[Mapping[str, Any]]
    left_out: Sequence[str]


def import_promptfoo_config(path: str | os.PathLike[str], *, prompt: int = 0) -> PromptfooConfig:
    """Read a configuration as a task and rows.

    Args:
        path: ``promptfooconfig.yaml`` or ``.json``. Files that it names are read only below its folder.
        prompt: which of its prompts.

    Returns:
        The task and the rows.

    Raises:
        DataError: the file cannot be read, is no configuration, or is too large.
        ConfigError: the prompt uses filters or code, which a task cannot express.
    """
    source = Path(path)
    content = read_yaml(_text(source), source.name, "`prompts: […]`", core=True)
    prompts = content.get("prompts")
    prompts = [prompts] if isinstance(prompts, str | dict) else prompts
    if isinstance(prompts, list):
        prompts = [text for each in prompts for text in _prompts(each, source)]
    if not isinstance(prompts, list) or not prompts:
        raise DataError(f"{source.name}: there is no prompt; prompts is a list of texts or files")
    if not 0 <= prompt < len(prompts):
        raise DataError(
            f"{source.name}: there is no prompt number {prompt + 1}: it has {counted(len(prompts), 'prompt')}"
        )
    left_out = [] if len(prompts) == 1 else [f"{len(prompts) - 1} other prompts"]
    try:
        instructions, template = _prompt(prompts[prompt], source)
    except ConfigError as error:
        if len(prompts) == 1:
            raise
        other = Argument("prompt", text="prompt")
        raise ConfigError(
            ErrorText(error_text(error), f"; it has {len(prompts)} prompts, and ", other, " takes another one")
        ) from None
    tests = read_tests(content.get("tests"), source.name, lambda name: _below(name, source))
    given = content.get("defaultTest")
    default = _test(_file(given, source) if isinstance(given, str) else given or {}, f"{source.name}: defaultTest")
    rows: list[dict[str, Any]] = []
    unread: Counter[str] = Counter()
    transforms, schema = 0, None
    for number, each in enumerate(tests, 1):
        place = f"{source.name}: tests[{number - 1}]"
        test = _test(each, place)
        checks = [
            resolved(check, content)
            for one in (default, test)
            for check in items_of(one.get("assert"), place, "assert")
        ]
        options = [one["options"] for one in (default, test) if isinstance(one.get("options"), dict)]
        transforms += any(each.get("transform") or each.get("postprocess") for each in options)
        around = [name for each in options for name in ("prefix", "suffix") if each.get(name)]
        if around:
            raise ConfigError(f"{place}: options.{around[0]} is text of one test's prompt; write it into the prompt")
        equal: list[Any] = []
        for check in checks:
            kind = check.get("type", "$ref") if isinstance(check, dict) else None
            value = check.get("value") if isinstance(check, dict) else None
            if kind == "is-json" and isinstance(value, str):
                value = _schema(value, source, place)
            if kind == "equals" and value is not None and not (isinstance(value, str) and value.startswith(FILE)):
                equal.append(value)
            elif kind == "is-json" and isinstance(value, dict):
                if schema not in (None, value):
                    raise ConfigError(f"{place}: is-json has another schema than a test before; a task has one output")
                schema = value
            else:
                unread[str(kind)] += 1
        for row in _rows({**(default.get("vars") or {}), **(test.get("vars") or {})}, source, place):
            if len(rows) == MAX_ROWS:
                raise DataError(f"{source.name} has more than {MAX_ROWS:,} tests")
            wanted = [_filled_in(value, row, place) for value in equal]
            if any(value != wanted[0] for value in wanted):
                raise ConfigError(f"{place}: equals wants different answers at once")
            rows.append({**row, TARGET: wanted[0]} if wanted else row)
    left_out += ["scenarios"] if content.get("scenarios") else []
    left_out += [f"{transforms} transforms of answers"] if transforms else []
    left_out += [f"{count} assertions of type {kind}" for kind, count in unread.items()]
    return PromptfooConfig(
        Task(instructions, input=template, output=_output(rows, schema), show_schema=False), rows, left_out
    )


def _test(given: Any, place: str) -> dict[str, Any]:
    if not isinstance(given, dict) or not isinstance(given.get("vars") or {}, dict):
        raise DataError(f"{place}: no test with vars")
    return given


def _rows(variables: Mapping[str, Any], source: Path, place: str) -> Iterator[dict[str, Any]]:
    """The rows of a test: one for each combination of the values of variables that have lists, as in promptfoo."""
    values = [value if isinstance(value, list) else [value] for value in variables.values()]
    if math.prod(map(len, values)) > MAX_ROWS:
        raise DataError(f"{place}: the lists of its variables have more than {MAX_ROWS:,} combinations")
    for each in itertools.product(*values):
        row = {name: _variable(value, source, place) for name, value in zip(variables, each, strict=True)}
        yield {name: _filled_in(value, row, place) for name, value in row.items()}


def _variable(value: Any, source: Path, place: str) -> Any:
    """The value of a variable, which may be the content of a file."""
    if not isinstance(value, str) or not value.startswith(FILE):
        return value
    if not value.endswith(_TEXT_FILES):
        raise DataError(f"{place}: {value} is no file of text ({', '.join(_TEXT_FILES)}), so it is not read")
    return _below(value, source).strip()


def _filled_in(value: Any, row: Mapping[str, Any], place: str) -> Any:
    if not isinstance(value, str):
        return value if isinstance(value, int | float) else as_text(value)
    text = filled_in(value, row)
    if text is None:
        raise ConfigError(
            f"{place}: {value[:40]!r} has a variable without a value, filters or code; only variables can be filled in"
        )
    return text


def export_promptfoo_config(
    data: Dataset, path: str | os.PathLike[str], *, providers: Sequence[str] = (), description: str = ""
) -> Path:
    """Write a dataset as a configuration.

    Args:
        data: rows of a task with an input template.
        path: the file, ``promptfooconfig.yaml``.
        providers: promptfoo's names of the models to ask.
        description: what the configuration is called.

    Returns:
        The path.

    Raises:
        ConfigError: the task has no input template.
    """
    task = data.task
    if task.input is None:
        raise ConfigError("only rows of a task with an input template can be tests of promptfoo; give the task")
    columns = Template.of(task.input).columns
    system = task.prompt(dict.fromkeys(columns, ""))[:-1]
    question = re.sub(r"\{\{|\}\}|\{([^{}]+)\}", _as_variable, task.input)
    messages = [*({"role": "system", "content": turn["content"]} for turn in system)]
    messages.append({"role": "user", "content": question})
    tests = []
    for row in data:
        test: dict[str, Any] = {"vars": {column: row.columns[column] for column in columns if column in row.columns}}
        if row.completion is not None:
            value = row.target if isinstance(row.target, str) else json.dumps(row.target, ensure_ascii=False)
            test["assert"] = [{"type": "equals", "value": value}]
        tests.append(test)
    content = {
        "description": description or "rows of ftkit",
        "prompts": [json.dumps(messages, ensure_ascii=False)],
        "providers": list(providers) or ["echo"],
        "tests": tests,
    }
    write_atomically(Path(path), write_yaml(content))
    return Path(path)


def _as_variable(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0][0]
    return "{{" + match[1] + "}}"


def _prompts(given: Any, source: Path) -> list[str]:
    """The texts of an entry of ``prompts``; a file of text may hold several, with ``---`` between them."""
    if isinstance(given, dict):
        given = given.get("raw", given.get("id"))
    if not isinstance(given, str):
        raise DataError(f"{source.name}: a prompt is neither a text nor a file")
    named = given.removeprefix(FILE)
    is_file = named != given or ("\n" not in given and " " not in given and given.lower().endswith(_TEXT_FILES))
    if not is_file:
        return [given]
    text = _below(named, source)
    if not named.lower().endswith(_TEXT_FILES):
        raise DataError(
            f"{source.name}: {given!r:.80} is no file of text ({', '.join(_TEXT_FILES)}), so it is not read"
        )
    if not named.lower().endswith(".txt"):
        return [text]
    parts = [
        "".join(lines)
        for is_break, lines in itertools.groupby(text.splitlines(keepends=True), lambda line: line.strip() == "---")
        if not is_break
    ]
    return [part.strip() for part in parts if part.strip()] or [text]


def _schema(value: str, source: Path, place: str) -> Any:
    """The schema of ``is-json``, which may be a file or a text."""
    if value.startswith(FILE) and not value.endswith((".json", ".yaml", ".yml")):
        return value  # of code
    return read_yaml_value(_below(value, source) if value.startswith(FILE) else value, f"{place}: is-json", core=True)


def _prompt(text: str, source: Path) -> tuple[str | None, str]:
    """Instructions and input template of a prompt."""
    turns: Any = None
    if text.lstrip()[:1] == "[":
        try:
            turns = json.loads(text)
        except (ValueError, RecursionError):
            turns = None
    if not isinstance(turns, list):
        return None, _template(text, source)
    roles = [turn.get("role") if isinstance(turn, dict) else None for turn in turns]
    if roles not in (["user"], ["system", "user"], ["developer", "user"]):
        raise ConfigError(f"{source.name}: the prompt has the turns {roles}; a task has a system and a user turn")
    contents = [turn.get("content") for turn in turns]
    if not all(isinstance(content, str) for content in contents):
        raise ConfigError(f"{source.name}: only texts can be a prompt of a task")
    if len(contents) == 2 and "{{" in contents[0]:
        raise ConfigError(f"{source.name}: the system turn has variables, and the instructions of a task have none")
    return (contents[0] if len(contents) == 2 else None), _template(contents[-1], source)


def _template(text: str, source: Path) -> str:
    """A template of nunjucks as one of a task. Only variables can be expressed."""
    parts, last = [], 0
    for match in VARIABLE.finditer(text):
        parts += [_literal(text[last : match.start()], source), "{" + match[1] + "}"]
        last = match.end()
    parts.append(_literal(text[last:], source))
    if last == 0:
        raise ConfigError(f"{source.name}: the prompt has no variable such as {{{{question}}}}, so all rows are alike")
    return "".join(parts)


def _literal(text: str, source: Path) -> str:
    for code in ("{{", "{%", "{#"):
        if code in text:
            at = text.index(code)
            raise ConfigError(
                f"{source.name}: the prompt has {text[at : at + 40]!r}; a task has variables such as {{{{name}}}} "
                "and no filters or code"
            )
    return text.replace("{", "{{").replace("}", "}}")


def _output(rows: Sequence[Mapping[str, Any]], schema: Any) -> Output:
    targets = [row[TARGET] for row in rows if row.get(TARGET) is not None]
    if schema is not None:
        return output_of(schema)[0]
    return infer_output(targets) if targets else Task().output


def _file(name: str, source: Path) -> Any:
    if not name.startswith(FILE) or not name.endswith((".json", ".yaml", ".yml")):
        raise DataError(f"{source.name}: defaultTest is {name!r:.80}; only files of JSON or YAML can be read")
    return read_yaml_value(_below(name, source), name.removeprefix(FILE), core=True)


def _below(name: str, source: Path) -> str:
    """The text of a file that the configuration names, which must lie below its folder."""
    folder = source.resolve().parent
    file = (folder / name.removeprefix(FILE)).resolve()
    if not file.is_relative_to(folder):
        raise DataError(f"{source.name}: {name} lies outside of the folder of the configuration, so it is not read")
    return _text(file)


def _text(file: Path) -> str:
    try:
        return read_small_text(file)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise DataError(f"{file.name}: cannot be read: {reason or error}") from None
