"""The version of ftkit, in a module of its own so that other modules can import it without the package's root."""

__all__ = ["__version__"]

__version__ = "0.2.0.dev0"
