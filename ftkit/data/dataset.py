"""The dataset: rows on disk, read for a task."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Unpack, cast

from ftkit.arguments import check_kind, explain_calls
from ftkit.data import dataset_spec
from ftkit.data.frames import frame_rows
from ftkit.data.hub import hub_rows, is_hub_name, one_split
from ftkit.data.open_dataset import RowOptions, open_row_reader, read_options
from ftkit.data.row_file import write_row_file
from ftkit.data.row_reader import RowReader
from ftkit.data.row_sequence import RowSequence
from ftkit.data.sources import MAX_LINE_BYTES, Corpus, open_source
from ftkit.data.writers import OpenAIForm, TrlForm, openai_format, trl_format, write_rows
from ftkit.errors import ConfigError
from ftkit.schema.answer_type import AnswerT, NewAnswerT
from ftkit.task import Task

__all__ = ["Dataset", "check_dataset"]


class Dataset(RowSequence[AnswerT]):
    """An immutable sequence of :class:`~ftkit.data.Row`, read from disk on access.

    A dataset holds paths and row numbers, never rows, so each row takes a few dozen bytes of memory. Slices, shuffles,
    filters and splits are views of the same files. Create one with :meth:`load` or :meth:`from_rows`.
    """

    @classmethod
    @explain_calls(instead='ft.Dataset.load("rows.jsonl", task, target="record")')
    def load(
        cls,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        task: Task[NewAnswerT] | None = None,
        *,
        target: str | None = None,
        chosen: str | None = None,
        rejected: str | None = None,
        margin: str | None = None,
        label: str | None = None,
        format: str = "auto",  # noqa: A002
        columns: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002
        group: str | None = None,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> Dataset[NewAnswerT]:
        """Open files of rows: ``.jsonl``, ``.ndjson``, ``.json`` (also one array), ``.csv``, ``.tsv``, ``.parquet``.

        A ``.txt`` or ``.md`` file is one row of plain text.

        Args:
            path: a file, or several that are read one after the other; or one name on the Hugging Face Hub,
                ``hf://owner/name?split=train&config=…&revision=…``, which ``datasets`` downloads.
            task: builds the prompt from a row's columns, and defines what a valid answer is. Without one, the rows
                must be whole conversations, and answers are texts.
            target: the column that holds the wanted answer: an object, a JSON text, or a text. A dotted path names a
                key inside a column. Without it, a table has no answers, and conversations end with their own.
            chosen: the column that holds the better of two answers, for preferences; read as ``target`` is.
            rejected: the column that holds the worse answer. It may break the task's schema. A text is used as it is,
                another value is written as a valid answer would be.
            margin: the column that holds by how much ``chosen`` is better: a number, or null.
            label: the column that says whether the row's answer is a good one, true or false (1 or 0), for KTO. A bad
                answer may break the task's schema. Of conversations ``label`` and ``kto_tag`` are found without it.
            format: ``"auto"`` detects the format from the first 100 rows. Or a name: ``table``, ``openai``,
                ``trl_messages``, ``prompt_completion``, ``alpaca``, ``sharegpt``, ``sharegpt_preference``,
                ``openai_preference``, ``trl_preference``, ``trl_unpaired_preference``, ``openai_prompts``,
                ``trl_prompts``, ``text``, ``otel``, ``langfuse``, ``langsmith``, ``litellm``, ``openai_stored``, or the
                name that a package or script has registered.
            columns: which column of the file is read for each column of the task or format: ``{"note": "text"}``.
            id: the column that identifies a row. By default ``id`` where there is one, else a hash of the content.
            group: the column whose equal values a split keeps together, e.g. a patient's id.
            max_line_bytes: size of the largest row that is accepted, in bytes; 64 MiB by default.

        Returns:
            The dataset. Rows are read when they are accessed.

        Raises:
            DataError: a file cannot be read, holds no rows, or lacks a named column. Problems of single rows are
                raised when they are read; :meth:`check` lists them all.
            FormatError: the rows fit no format, or several.
            ConfigError: the arguments contradict each other.
            MissingExtraError: a Parquet file, and pyarrow is not installed; or a name on the Hub, and ``datasets`` is
                not.
        """
        if is_hub_name(path):
            given: RowOptions = {"target": target, "chosen": chosen, "rejected": rejected, "margin": margin}
            given |= {"format": format, "columns": columns, "id": id, "group": group, "label": label}
            return cls.from_rows(hub_rows(str(path)), task, name=str(path), **given)
        paths = [path] if isinstance(path, str | os.PathLike) else list(path)
        if not paths:
            raise ConfigError("load needs at least one path.")
        sources = [open_source(item, max_line_bytes=max_line_bytes) for item in paths]
        known: Task[Any] = Task() if task is None else task
        options = read_options(
            known,
            format=format,
            target=target,
            chosen=chosen,
            rejected=rejected,
            margin=margin,
            columns=columns,
            id=id,
            group=group,
            label=label,
        )
        return cls._over(Corpus(sources), open_row_reader(Corpus(sources), known, options))

    @classmethod
    @explain_calls(instead='ft.Dataset.from_rows(rows, task, target="record")')
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        task: Task[NewAnswerT] | None = None,
        *,
        target: str | None = None,
        chosen: str | None = None,
        rejected: str | None = None,
        margin: str | None = None,
        label: str | None = None,
        format: str = "auto",  # noqa: A002
        columns: Mapping[str, str] | None = None,
        id: str | None = None,  # noqa: A002
        group: str | None = None,
        name: str = "rows",
    ) -> Dataset[NewAnswerT]:
        """Create a dataset from a list, a generator, or a ``datasets.Dataset``.

        The rows are written once to ``datasets/`` in ftkit's home folder (``$FTKIT_HOME``), under a name made of their
        content and readable by their owner only. So a training process can open them, and they need not fit in memory.

        Args:
            rows: mappings from column to value; see :func:`ftkit.schema.json_values.to_exact_json` for the values.
            task: as for :meth:`load`.
            target: as for :meth:`load`.
            chosen: as for :meth:`load`.
            rejected: as for :meth:`load`.
            margin: as for :meth:`load`.
            label: as for :meth:`load`.
            format: as for :meth:`load`.
            columns: as for :meth:`load`.
            id: as for :meth:`load`.
            group: as for :meth:`load`.
            name: what errors call the place of a row: ``rows:12``.

        Returns:
            The dataset.

        Raises:
            DataError: a row is not a mapping, or holds a value that JSON cannot; and as for :meth:`load`.
            FormatError, ConfigError: as for :meth:`load`.
        """
        path = write_row_file(rows, name)
        from_arrow = type(rows).__module__.partition(".")[0] == "datasets"
        source = open_source(path, name=name, nulls_are_absent=from_arrow)
        known: Task[Any] = Task() if task is None else task
        options = read_options(
            known,
            format=format,
            target=target,
            chosen=chosen,
            rejected=rejected,
            margin=margin,
            columns=columns,
            id=id,
            group=group,
            label=label,
        )
        return cls._over(Corpus([source]), open_row_reader(Corpus([source]), known, options))

    @classmethod
    def from_pandas(
        cls, frame: Any, task: Task[NewAnswerT] | None = None, **options: Unpack[RowOptions]
    ) -> Dataset[NewAnswerT]:
        """Create a dataset from a pandas DataFrame. Missing values (NaN, NaT, NA) become null.

        Args:
            frame: the DataFrame. Its index is not read.
            task: as for :meth:`load`.
            **options: as for :meth:`load`.

        Returns:
            The dataset; see :meth:`from_rows` for where the rows are kept.

        Raises:
            ConfigError: it is no DataFrame, or has two columns of one name; and as for :meth:`load`.
            DataError, FormatError: as for :meth:`from_rows`.
        """
        return cls.from_rows(frame_rows(frame), task, **options)

    @classmethod
    def from_hf(
        cls, dataset: Any, task: Task[NewAnswerT] | None = None, **options: Unpack[RowOptions]
    ) -> Dataset[NewAnswerT]:
        """Create a dataset from one of the ``datasets`` package.

        Args:
            dataset: a ``datasets.Dataset``, an iterable one, or a dict of one split.
            task: as for :meth:`load`.
            **options: as for :meth:`load`.

        Returns:
            The dataset; see :meth:`from_rows` for where the rows are kept.

        Raises:
            ConfigError: a dict of several splits; and as for :meth:`load`.
            DataError, FormatError: as for :meth:`from_rows`.
        """
        return cls.from_rows(one_split(dataset, "ft.Dataset.from_hf(dataset[…]) with one of "), task, **options)

    @classmethod
    def _over(cls, corpus: Corpus, row_reader: RowReader) -> Dataset[NewAnswerT]:
        return cast("Dataset[NewAnswerT]", cls(corpus, row_reader, range(len(corpus))))

    def write(self, path: str | os.PathLike[str], *, format: str) -> None:  # noqa: A002
        """Write JSON Lines in any dataset format that can be written, also one of an installed package.

        Args:
            path: the file to write. It is replaced when all rows are written.
            format: the format's name, e.g. ``"sharegpt"``.

        Raises:
            ConfigError: there is no such format, or it cannot be written.
            DataError: the format cannot express a row. The file is then left as it was.
        """
        write_rows(self, path, format)

    def write_openai(self, path: str | os.PathLike[str], *, form: OpenAIForm | None = None) -> None:
        """Write OpenAI's JSON Lines. Except for prompts, no columns but those named here are written.

        Demonstrations become ``messages`` with weights, ``tools``, ``parallel_tool_calls``; preferences ``input``
        (which holds these), ``preferred_output`` and ``non_preferred_output``; prompts ``messages`` without an answer,
        and :attr:`Row.item`, which graders read, beside them.

        Args:
            path: the file to write. It is replaced when all rows are written.
            form: ``"reinforcement"`` writes rows of any kind as prompts.

        Raises:
            ConfigError: there is no such form.
            DataError: a row has no answer, or a margin, which OpenAI's form cannot express. The file is then left as
                it was.
        """
        write_rows(self, path, openai_format(self.kind, form))

    def write_trl(self, path: str | os.PathLike[str], *, form: TrlForm | None = None) -> None:
        """Write JSON Lines for TRL's trainers, with the rows' ``tools``.

        Args:
            path: the file to write. It is replaced when all rows are written.
            form: ``"preference"``, the default for preferences, is ``prompt``, ``chosen``, ``rejected`` and
                ``margin``. ``"unpaired_preference"``, the default for unpaired preferences, is ``prompt``,
                ``completion`` and ``label``. ``"prompt"``, the default for prompts, is ``prompt`` and what graders
                read. ``"text"``, the default for texts, is ``text``. ``"prompt_completion"``, the default for
                demonstrations, learns the last assistant turn only;
                ``"messages"`` learns what TRL's options select. None of them can hold a weight for each message.

        Raises:
            ConfigError: there is no such form, or it is not one for rows of this kind.
            DataError: the form cannot express the row (an earlier turn that is learned, a turn that is not), or the
                row has no answer. The file is then left as it was.
        """
        write_rows(self, path, trl_format(self.kind, form))

    def with_task(self, task: Task[NewAnswerT]) -> Dataset[NewAnswerT]:
        """Return the same rows for another task.

        Args:
            task: the task.

        Returns:
            A dataset of the same rows. Its format is detected again, unless it was named.

        Raises:
            FormatError, ConfigError: the rows do not fit the task, as for :meth:`load`.
        """
        row_reader = open_row_reader(self._corpus, task, self._row_reader.options)
        return Dataset(self._corpus, row_reader, self._rows, self._fingerprint)

    def to_spec(self, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
        """Describe the dataset, so that another process on this machine opens the same rows.

        Args:
            folder: where a long selection of rows is written, as a small binary file. By default ftkit's home folder.

        Returns:
            A few kilobytes of plain data for :meth:`from_spec`.
        """
        return dataset_spec.to_spec(self._corpus, self._row_reader, self._rows, folder, self._fingerprint)

    @classmethod
    def from_spec(cls, given: Mapping[str, Any]) -> Dataset[Any]:
        """Open the rows that :meth:`to_spec` described.

        Args:
            given: the description.

        Returns:
            The dataset.

        Raises:
            DataError: a file is gone, or has changed since.
        """
        return cls(*dataset_spec.from_spec(given))


def check_dataset(value: object, name: str = "data") -> None:
    """Check that an argument is a :class:`Dataset`.

    Args:
        value: the argument.
        name: its name, for errors.

    Raises:
        ConfigError: it is something else, for instance a path or a list of rows.
    """
    check_kind(value, Dataset, name, "an ft.Dataset: ft.Dataset.load(path, task) or ft.Dataset.from_rows(rows, task)")
