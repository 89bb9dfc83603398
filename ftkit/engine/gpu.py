"""GPUs by name: dated facts from ``gpus.toml``, to which a file of that name in ftkit's home adds or takes over."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ftkit.errors import ConfigError
from ftkit.files import home

__all__ = ["Gpu", "gpu_named", "gpu_reported_as"]

FILE = "gpus.toml"


class Gpu(BaseModel):
    """What a maker says of a GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    memory_gib: float = Field(gt=0)
    bf16_tflops: float = Field(gt=0, description="dense, with sums in float32")
    fp32_tflops: float = Field(gt=0, description="without TF32, which PyTorch does not use unless asked")
    bandwidth_gb_per_s: float = Field(gt=0)
    reported_as: tuple[str, ...] = Field(default=(), description="how its driver names it")
    source: str
    as_of: date

    def rate(self, precision: Literal["bf16", "fp32"]) -> float:
        """Rated operations a second of products of matrices."""
        return 1e12 * (self.bf16_tflops if precision == "bf16" else self.fp32_tflops)


def gpu_named(name: str) -> Gpu:
    """The GPU that ``gpus.toml`` calls ``name``, e.g. ``"h100-80gb"``.

    Raises:
        ConfigError: there is none, or the file in ftkit's home cannot be used.
    """
    known = _known()
    try:
        return known[name.lower()]
    except KeyError:
        raise ConfigError(
            f"there is no GPU {name!r}; known are {', '.join(sorted(known))}. Others can be added in "
            f"{home() / FILE}, in the form of ftkit's own gpus.toml"
        ) from None


def gpu_reported_as(name: str) -> Gpu | None:
    """The GPU that its driver calls ``name``, if it is known.

    Raises:
        ConfigError: the file in ftkit's home cannot be used.
    """
    return next((gpu for gpu in _known().values() if name in gpu.reported_as), None)


def _known() -> dict[str, Gpu]:
    known = _read(files("ftkit.engine").joinpath(FILE).read_text(encoding="utf-8"), FILE)
    mine = home() / FILE
    return known | _read(_text(mine), str(mine)) if mine.is_file() else known


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None


def _read(text: str, where: str) -> dict[str, Gpu]:
    try:
        known = TypeAdapter(dict[str, Gpu]).validate_python(tomllib.loads(text))
        return {name.lower(): gpu for name, gpu in known.items()}
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from None
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from None
