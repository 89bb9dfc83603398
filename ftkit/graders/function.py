"""Any Python function as a grader."""

from __future__ import annotations

import functools
import inspect
import sysconfig
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import PrivateAttr, field_validator
from typing_extensions import override

from ftkit.errors import ConfigError
from ftkit.graders.base import GraderContext, SingleGrader, finite, unmet
from ftkit.graders.grade import GradingError, Sample
from ftkit.schema import load_class

__all__ = ["FunctionGrader"]


class FunctionGrader(SingleGrader):
    """Grade with a Python function: ``def grade(sample: dict, item: dict) -> float``, as in a ``python`` grader.

    ``sample`` holds ``output_text``, ``output_json`` (None if the answer is not JSON) and ``output_tools``; ``item``
    holds the row's columns. The function is trusted: it runs in this process and may import anything. So one that a
    file names is loaded only if ``GraderContext.allow_python`` is on; one that Python code names needs no permission.
    A training run loads it in its worker process, so it must be importable. An exception gives 0 and counts as
    ``other_error``. No host takes this type.

    Raises:
        ConfigError: the function is a lambda, is nested in another function, or is defined in the running script.
    """

    own: ClassVar[bool] = True

    type: Literal["function"] = "function"
    name: str = "function"
    function: str
    """``package.module:function`` or ``path/to/file.py:function``; or, in Python, the function itself."""

    _from_data: bool = PrivateAttr(False)

    @field_validator("function", mode="before")
    @classmethod
    def _named(cls, given: object) -> object:
        return _name_of(given) if callable(given) else given

    def __eq__(self, other: object) -> bool:
        """Compare the fields. Where a grader was read from is no part of what it is."""
        return isinstance(other, FunctionGrader) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash((self.name, self.function))

    @override
    def reads(self) -> None:
        return None

    @override
    def read_from_data(self) -> FunctionGrader:
        self._from_data = True
        return self

    @override
    def check(self, setting: GraderContext) -> None:
        if self._from_data and not (setting.allow_python or setting.allow_functions):
            raise unmet(
                self,
                f"it runs {self.function} as a trusted part of this program, which a file may demand only if you allow "
                "it: allow_python=True, or --allow-python on the command line",
            )
        self._load()

    @override
    def score(self, item: Mapping[str, Any], sample: Sample) -> float:
        try:
            found = self._load()(sample.namespace(), dict(item))
        except Exception as error:  # whatever a user's function raises
            raise GradingError("other_error", f"{self.function}: {type(error).__name__}: {error}") from None
        return finite(found)

    def _load(self) -> Callable[[dict[str, Any], dict[str, Any]], object]:
        found = _loaded(self.function)
        if not callable(found):
            raise unmet(self, f"{self.function} is a {type(found).__name__}, not a function")
        return found  # type: ignore[no-any-return]


@functools.cache
def _loaded(name: str) -> Any:
    return load_class(name)


def _name_of(function: Callable[..., object]) -> str:
    """Name the function so that a worker process can import it."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if name is None or module is None:
        raise ConfigError(f"{function!r} has no name that can be imported; pass a plain function")
    if "<" in name:  # <lambda>, <locals>
        what = "a lambda" if "<lambda>" in name else f"{name}, a function nested in another"
        raise ConfigError(f"{what} cannot be imported by a worker process; define it at the top level of a module")
    if module == "__main__":
        raise ConfigError(
            f"{name} is defined in the script or notebook that is running, which a worker process must not run again; "
            "move it into a file of its own and import it from there, or pass "
            f'"path/to/file.py:{name}"'
        )
    source = inspect.getsourcefile(function) if inspect.isfunction(function) else None
    if source is None or not Path(source).is_file() or "." in module or _is_installed(source):
        return f"{module}:{name}"
    return f"{Path(source).resolve()}:{name}"


def _is_installed(source: str) -> bool:
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), sysconfig.get_path("stdlib")}
    return any(Path(source).resolve().is_relative_to(Path(folder).resolve()) for folder in folders if folder)
