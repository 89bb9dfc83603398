"""The weights of the model in training, as each worker holds them: here each holds all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

from ftkit.training.worker_group import ALONE, WorkerGroup

__all__ = ["Parameters", "WholeWeights"]

ResultT = TypeVar("ResultT")
Parameters = Mapping[str, torch.Tensor]


class WholeWeights:
    """Each worker holds all weights (``strategy="ddp"``), or there is one worker.

    Args:
        workers: those that train together.
    """

    sharded = False

    def __init__(self, workers: WorkerGroup = ALONE) -> None:
        self.workers = workers

    def run(self, compute: Callable[[], ResultT]) -> ResultT:
        """Call something that computes with the model.

        Args:
            compute: runs the layers of the model once. With gradients, it returns tensors in plain containers, and
                ``backward`` is called on one of them before the next call.

        Returns:
            What it returns.
        """
        return compute()

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Hold all weights at each worker inside a ``with`` block, to run the model any number of times.

        Yields:
            Nothing.
        """
        yield

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Make each gradient the sum over all workers.

        Args:
            parameters: the trainable tensors.
        """
        self.workers.sum_gradients(parameters)

    def clip_gradients(self, parameters: Sequence[torch.nn.Parameter], max_norm: float) -> float:
        """Scale the gradients down if the norm of all together is too large.

        Args:
            parameters: the trainable tensors.
            max_norm: the largest norm.

        Returns:
            The norm before.
        """
        return float(torch.nn.utils.clip_grad_norm_(parameters, max_norm))

    def tensors(self, parameters: Parameters) -> dict[str, torch.Tensor]:
        """Return the whole trainable tensors. All workers call it.

        Args:
            parameters: by name.

        Returns:
            The tensors by name at the first worker; what the others get is not used.
        """
        return dict(parameters)

    def model_state(self, model: Any) -> dict[str, torch.Tensor] | None:
        """Return what the model is saved from. All workers call it.

        Args:
            model: the model.

        Returns:
            Its state at the first worker; None: the model itself is saved.
        """
        return None

    @torch.no_grad()
    def load(self, parameters: Parameters, tensors: Mapping[str, torch.Tensor] | None) -> None:
        """Replace the values of the trainable tensors at all workers. All workers call it.

        Args:
            parameters: by name.
            tensors: the whole tensors by name at the first worker; the others give None.
        """
        received = self.workers.from_first(lambda: tensors)
        assert received is not None  # noqa: S101  (the first worker has them)
        for name, parameter in parameters.items():
            parameter.copy_(received[name])

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """Return the whole state of the optimiser. All workers call it.

        Args:
            optimizer: the optimiser.

        Returns:
            Its ``state_dict`` at the first worker; what the others get is not used.
        """
        state: dict[str, Any] = optimizer.state_dict()
        return state

    def load_optimizer(self, optimizer: Any, state: dict[str, Any] | None) -> None:
        """Restore the state of the optimiser at all workers. All workers call it.

        Args:
            optimizer: the optimiser.
            state: the whole state at the first worker; the others give None.
        """
        optimizer.load_state_dict(self.workers.from_first(lambda: state))
