"""GPUs by name: dated facts from ``gpus.toml``, to which a file of that name in ftkit's home adds or takes over."""

from __future__ import annotations

import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ftkit.errors import ConfigError
from ftkit.files import home

__all__ = ["Gpu", "gpu_named"]

FILE = "gpus.toml"


class Gpu(BaseModel):
    """What a maker says of a GPU."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    memory_gib: float = Field(gt=0)
    bf16_tflops: float = Field(gt=0, description="dense, with sums in float32")
    bandwidth_gb_per_s: float = Field(gt=0)
    source: str
    as_of: date


def gpu_named(name: str) -> Gpu:
    """The GPU that ``gpus.toml`` calls ``name``, e.g. ``"h100-80gb"``.

    Raises:
        ConfigError: there is none, or the file in ftkit's home cannot be used.
    """
    known = _read(files("ftkit.engine").joinpath(FILE).read_text(encoding="utf-8"), FILE)
    mine = home() / FILE
    if mine.is_file():
        known |= _read(_text(mine), str(mine))
    try:
        return known[name.lower()]
    except KeyError:
        raise ConfigError(
            f"there is no GPU {name!r}; known are {', '.join(sorted(known))}. Others can be added in {mine}, in the "
            "form of ftkit's own gpus.toml"
        ) from None


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
