"""The local training engine: the loop, losses, adapters, rollouts, checkpoints.

Nothing here imports torch at package level; import the submodule you need.
"""
