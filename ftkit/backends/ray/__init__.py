"""A Ray cluster as a backend: several workers train one model, on any number of machines."""

from ftkit.backends.ray.backend import Ray

__all__ = ["Ray"]
