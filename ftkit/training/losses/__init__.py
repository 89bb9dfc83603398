"""What each kind of recipe computes. Importing this package loads no torch."""

from ftkit.training.losses.base import Loss, LossOutput, loss_of

__all__ = ["Loss", "LossOutput", "loss_of"]
