"""A search for the prompt of a task: instructions by reflection, examples by drawing, both chosen on held-out rows."""

from ftkit.evaluation.prompt_search.optimised_task import OptimisedTask
from ftkit.evaluation.prompt_search.prompt_optimiser import optimise_prompt

__all__ = ["OptimisedTask", "optimise_prompt"]
