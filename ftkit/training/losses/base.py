"""What the training loop must know of a loss. Importing this module loads no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, ClassVar, Generic, NamedTuple, TypeVar

from ftkit.errors import RefusedError
from ftkit.recipe import Recipe
from ftkit.training.estimation.workload import Workload, training_workload
from ftkit.training.monitor import LossMonitor, TrainingMonitor

if TYPE_CHECKING:  # heavy: torch, transformers
    import torch

    from ftkit.data import Row
    from ftkit.modeling.chat_template import ChatTemplate
    from ftkit.modeling.packed_forward import PackedForward
    from ftkit.modeling.prefix_tree import PackedSequence
    from ftkit.modeling.tokenized_example import Example, TokenizedConversation
    from ftkit.training.dataloader import TokenRows

__all__ = ["Loss", "LossOutput", "RecipeT", "loss_of"]

RecipeT = TypeVar("RecipeT", bound=Recipe)


class LossOutput(NamedTuple):
    """The loss of one pack.

    Attributes:
        total: loss summed over the pack's examples, a scalar to call ``backward`` on.
        metrics: other quantities, summed likewise; what :meth:`Loss.means` makes of them goes into the step's event.
            SFT gives ``token_accuracy``: the share of supervised tokens that the model, given all tokens before them,
            holds likeliest. Each token counts once, whatever row it is in, as in TRL's ``mean_token_accuracy``.
    """

    total: torch.Tensor
    metrics: Mapping[str, float]


class Loss(ABC, Generic[RecipeT]):
    """Computes the loss of one kind of recipe, as functions of a batch. Keeps no state between batches.

    A subclass is named by its recipe's :attr:`~ftkit.recipe.Recipe.loss_class`. To be imported without torch it imports
    torch inside its methods.

    Args:
        recipe: resolved, without ``"auto"``.
    """

    source_class: ClassVar[str | type] = "ftkit.training.example_source:DatasetSource"
    """The :class:`~ftkit.training.example_source.ExampleSource` that makes each step's examples, or
    ``"module:attribute"`` of it."""

    def __init__(self, recipe: RecipeT) -> None:
        self.recipe = recipe

    @abstractmethod
    def render(self, row: Row, chat_template: ChatTemplate) -> list[Example]:
        """Tokenise a row.

        Args:
            row: a row of the training or validation data.
            chat_template: the model's tokenizer and chat template.

        Returns:
            The row's examples; their losses are summed.

        Raises:
            DataError: the row is not of a kind that this loss trains on.
        """

    @abstractmethod
    def compute(self, forward: PackedForward, pack: PackedSequence, examples: Sequence[Example]) -> LossOutput:
        """Compute the loss of a pack.

        Args:
            forward: the model.
            pack: the examples' sequences, laid out to share prefixes.
            examples: the examples in the pack, in the order of its sequences.

        Returns:
            The loss summed over the examples, and metrics summed likewise.
        """

    def size(self, examples: Sequence[Example]) -> float:
        """Return what the loss of a batch is divided by, so that a batch split for computing gives the same gradient.

        Args:
            examples: the whole batch.

        Returns:
            The number of examples; losses per token return the number of supervised tokens.
        """
        return float(len(examples))

    def arrange(self, rows: TokenRows) -> TokenRows:
        """Arrange the tokenised rows into those of which a batch is made.

        Args:
            rows: all rows of the training data, or of the validation data.

        Returns:
            By default the rows as they are.
        """
        return rows

    def weigh(self, examples: Sequence[Example]) -> Sequence[Example]:
        """Give each example of a batch what its loss must know of the others, before the batch is split into packs.

        Args:
            examples: the whole batch.

        Returns:
            The examples in their order; by default as they are.
        """
        return examples

    def means(self, sums: Mapping[str, float], size: float) -> dict[str, float]:
        """Compute the metrics of a batch from the sums over its packs.

        Args:
            sums: each metric of :class:`LossOutput`, summed over the packs.
            size: what :meth:`size` returns for the batch.

        Returns:
            By default each sum divided by ``size``.
        """
        return {name: value / size for name, value in sums.items()}

    def monitor(self, warn: Callable[[str], None]) -> TrainingMonitor:
        """Make what watches the run for signs of trouble.

        Args:
            warn: called with each warning.

        Returns:
            A monitor of losses by default.
        """
        return LossMonitor(self.recipe, warn)

    def workload(
        self,
        rows: TokenRows,
        *,
        shared: bool,
        total_rows: int | None = None,
        validation: TokenRows | None = None,
        total_validation_rows: int | None = None,
    ) -> Workload:
        """Count what a run computes, for the planner.

        Args:
            rows: the tokenised training rows, or a sample of them.
            shared: whether the model can share computation between rows.
            total_rows: number of training rows, if ``rows`` is a sample.
            validation: the tokenised validation rows, or a sample of them.
            total_validation_rows: number of validation rows, if ``validation`` is a sample.

        Returns:
            The workload.
        """
        return training_workload(
            rows,
            self.recipe,
            shared=shared,
            total_rows=total_rows,
            validation=validation,
            total_validation_rows=total_validation_rows,
        )

    def sample_sequences(self, examples: Sequence[Example]) -> list[TokenizedConversation]:
        """Return sequences like those of the run, to test whether sharing prefixes is exact for the model.

        Args:
            examples: the rows of the run.

        Returns:
            By default all their sequences.
        """
        return [sequence for example in examples for sequence in example.sequences]


def loss_of(recipe: RecipeT) -> Loss[RecipeT]:
    """Load what computes a recipe's loss.

    Args:
        recipe: resolved, without ``"auto"``.

    Returns:
        The loss of this recipe.

    Raises:
        RefusedError: the local engine does not train this kind of recipe.
    """
    named = recipe.loss_class
    if not named:
        raise RefusedError(f"the local engine does not train {recipe.kind!r}", backend="local", fields=("kind",))
    made: Loss[RecipeT] = (resolve_name(named) if isinstance(named, str) else named)(recipe)
    return made
