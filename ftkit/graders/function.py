"""Any Python function as a grader."""

from __future__ import annotations

import functools
import inspect
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from ftkit.errors import ConfigError
from ftkit.graders.base import Setting, SingleGrader, finite, unmet
from ftkit.graders.grade import GradingError, Sample
from ftkit.schema import load_class

__all__ = ["FunctionGrader"]


class FunctionGrader(SingleGrader):
    """A function of your own: ``def grade(sample: dict, item: dict) -> float``, as a ``python`` grader's is.

    ``sample`` holds ``output_text``, ``output_json`` (None when the answer is no JSON) and ``output_tools``; ``item``
    holds the row's columns. It runs in this process, trusted, and so may import what it likes; a run loads it in its
    worker process, which is why it must be a function that can be imported. An exception gives 0 and is counted as
    ``other_error``. ftkit's own; no host takes it.

    Raises:
        ConfigError: a lambda, a function inside another, one of the script that is running, or none at all.
    """

    own: ClassVar[bool] = True

    type: Literal["function"] = "function"
    name: str = "function"
    function: str
    """``package.module:function`` or ``path/to/file.py:function``; or, in Python, the function itself."""

    @field_validator("function", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return _name_of(given) if callable(given) else given

    def reads(self) -> None:
        return None

    def check(self, setting: Setting) -> None:
        self._load()

    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        try:
            found = self._load()(sample.namespace(), dict(item))
        except Exception as error:  # whatever a user's function raises
            raise GradingError("other_error", f"{self.function}: {type(error).__name__}: {error}") from None
        return finite(found)

    def _load(self) -> Callable[[dict[str, Any], dict[str, Any]], object]:
        found = _loaded(self.function)
        if not callable(found):
            raise unmet(self, f"{self.function} is a {type(found).__name__}, no function")
        return found  # type: ignore[no-any-return]


@functools.cache
def _loaded(name: str) -> Any:
    return load_class(name)


def _name_of(function: Callable[..., object]) -> str:
    """What a worker process finds the function by."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if name is None or module is None:
        raise ConfigError(f"{function!r} has no name to be imported by; give a plain function")
    if "<" in name:  # <lambda>, <locals>
        what = "a lambda" if "<lambda>" in name else f"{name}, a function inside another"
        raise ConfigError(f"{what} cannot be found again by a worker process; define it at the top of a module")
    if module == "__main__":
        raise ConfigError(
            f"{name} is defined in the script or notebook that is running, which a worker process must not run again; "
            "put it into a file of its own and import it from there, or give "
            f'"path/to/file.py:{name}"'
        )
    source = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if source is None or not Path(source).is_file() or "." in module or _is_installed(source):
        return f"{module}:{name}"
    return f"{Path(source).resolve()}:{name}"


def _is_installed(source: str) -> bool:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib")}
    return any(Path(source).resolve().is_relative_to(Path(folder).resolve()) for folder in folders if folder)
