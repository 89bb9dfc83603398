"""Names of models and options, as backends of other machines take them."""

from __future__ import annotations

from collections.abc import Sequence

from ftkit.errors import ConfigError

__all__ = ["check_model_name", "refuse_repeated"]


def check_model_name(model: object, wanted: str) -> str:
    """Refuse what can be no name of a model.

    Args:
        model: what a user gave.
        wanted: what to write, for the message.

    Returns:
        The name.

    Raises:
        ConfigError: it is no text, it is empty, or it has control characters.
    """
    if isinstance(model, str) and model.strip() and model.isprintable():
        return model
    given = f"{model!r:.80}" if model is None or isinstance(model, str | int | float) else f"a {type(model).__name__}"
    raise ConfigError(f"the model is {given}, which is no name. {wanted}")


def refuse_repeated(options: Sequence[tuple[str, str]], what: str) -> None:
    """Refuse an option that is written twice, of which one would be lost.

    Args:
        options: names and values.
        what: what was read, for the message.

    Raises:
        ConfigError: names the option.
    """
    names = [name for name, _ in options]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{what}: {name} is written twice")
