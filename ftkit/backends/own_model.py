"""What a model on a machine of one's own does not take, on whichever machine it answers."""

from __future__ import annotations

from ftkit.error_text import Argument, ErrorText
from ftkit.errors import RefusedError
from ftkit.results.answer import Sampling

__all__ = ["refuse_hosted_options"]


def refuse_hosted_options(sampling: Sampling, *, backend: str, model: str, machine: str) -> None:
    """Refuse the options of sampling that only hosted models honour.

    Args:
        sampling: how answers are sampled.
        backend: name of the backend.
        model: the model's name there.
        machine: where the model answers, for the message.

    Raises:
        RefusedError: reasoning was asked for in a way that only hosts know.
    """
    for option in ("reasoning_effort", "max_reasoning_tokens"):
        value = getattr(sampling, option)
        if value is not None:
            raise RefusedError(
                ErrorText(
                    f"{backend}:{model}: ",
                    Argument(option, str(value), text=f"{option}={value!r}"),
                    f" is for hosted models; a model on {machine} reasons as its chat template says",
                ),
                backend=backend,
                fields=(option,),
            )
