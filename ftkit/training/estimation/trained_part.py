"""Which part of a model a recipe trains: how many parameters, in which transformer layers."""

from __future__ import annotations

from ftkit.errors import ModelError
from ftkit.modeling.model_shape import ModelShape
from ftkit.recipe import Recipe

__all__ = ["adapted_layers", "trainable_parameters", "trained_layers"]


def adapted_layers(shape: ModelShape, recipe: Recipe) -> int:
    """Count the transformer layers that get an adapter, or are trained without one.

    Args:
        shape: shape of the model.
        recipe: the recipe.

    Returns:
        Number of layers.

    Raises:
        ModelError: ``layers_to_transform`` names layers that the model does not have.
    """
    numbers = recipe.adapter.layer_numbers
    if numbers is None:
        return shape.layers
    if numbers[-1] >= shape.layers:
        raise ModelError(f"layer {numbers[-1]}: no such layer in a model with layers 0 to {shape.layers - 1}")
    return len(numbers)


def trained_layers(shape: ModelShape, recipe: Recipe) -> int:
    """Count the transformer layers that the gradient passes: those from the lowest adapted one to the output.

    Args:
        shape: shape of the model.
        recipe: the recipe.

    Returns:
        Number of layers.
    """
    numbers = recipe.adapter.layer_numbers
    return shape.layers if numbers is None else shape.layers - numbers[0]


def trainable_parameters(shape: ModelShape, recipe: Recipe) -> int:
    """Count the parameters that a recipe trains.

    Args:
        shape: shape of the model.
        recipe: the recipe.

    Returns:
        Number of trainable parameters, the score head included.

    Raises:
        ModelError: ``target_modules`` names layers that the model does not have.
    """
    adapter = recipe.adapter
    if adapter.trains_base_weights:
        return shape.parameters
    each = sum(adapter.trainable_parameters(layer.inputs, layer.outputs) for layer in shape.targets(adapter.layers))
    return adapted_layers(shape, recipe) * each + (shape.head.weights if shape.scores else 0)
