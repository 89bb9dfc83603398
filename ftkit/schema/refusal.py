"""Pydantic's validation errors in the words of ftkit's error tree."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from ftkit.errors import ConfigError

__all__ = ["config_error"]


def config_error(error: ValidationError, model: type[BaseModel]) -> ConfigError:
    """One sentence per refused field of ``model``, as a :class:`~ftkit.errors.ConfigError`.

    Pydantic prefixes what validators raise with ``Value error,`` and knows nothing of the fields there are; here the
    message names the field, what is wrong with it and, for an unknown field, the known ones.
    """
    sentences = []
    for found in error.errors(include_url=False):
        where = ".".join(str(part) for part in found["loc"])
        if found["type"] == "extra_forbidden":
            what = f"there is no such field; {model.__name__} has {', '.join(model.model_fields)}"
        elif found["type"] == "missing":
            what = "is missing"
        else:
            what = found["msg"].removeprefix("Value error, ")
            what = what[:1].lower() + what[1:] if what.startswith("Input ") else what
        if found["type"] == "string_type" and isinstance(found["input"], bool):
            what += " (YAML reads a bare yes, no, on or off as a boolean: put it in quotes)"
        sentences.append(f"{where}: {what}" if where else what)
    return ConfigError(f"{model.__name__}: " + "; ".join(sentences))
