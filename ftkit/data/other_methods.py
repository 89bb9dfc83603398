"""Methods of pandas and ``datasets`` that :class:`ftkit.Dataset` has under another name."""

from __future__ import annotations

__all__ = ["other_method"]

_METHODS = {
    "add_column": "add the column to the rows, and use ft.Dataset.from_rows(rows, task)",
    "column_names": "use data.columns",
    "describe": "use ft.lint(data), or `ftkit data check`",
    "from_dict": "use ft.Dataset.from_rows(rows, task)",
    "from_list": "use ft.Dataset.from_rows(rows, task)",
    "head": "use data.take(5); its rows are read when they are accessed",
    "iloc": "use data[0], or data[10:20]",
    "loc": "use data.filter(lambda row: …)",
    "map": "change the rows, and use ft.Dataset.from_rows(rows, task); a generator will do",
    "num_rows": "use len(data)",
    "remove_columns": "columns that the task does not name are not read",
    "rename_column": "use columns={…} of ft.Dataset.load",
    "rename_columns": "use columns={…} of ft.Dataset.load",
    "sample": "use data.shuffle(seed=0).take(5)",
    "shape": "use len(data) and data.columns",
    "sort": "use data.select(positions)",
    "tail": "use data[-5:]",
    "to_list": "use [row.columns for row in data]",
    "to_pandas": "use pandas.DataFrame([row.columns for row in data])",
    "train_test_split": "use data.split(test=0.2, seed=7)",
}


def other_method(name: str) -> str:
    """Say what to use in place of a method of another library.

    Args:
        name: the method's name.

    Returns:
        What follows a semicolon in the error; empty if the name means nothing here.
    """
    return f"; {_METHODS[name]}" if name in _METHODS else ""
