"""Estimate the memory and time of a local training run before it starts."""
