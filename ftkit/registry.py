"""Registries of named objects, through which packages and scripts extend ftkit.

Each kind (losses, adapters, hosts, dataset formats, metrics, lint rules, graders, trackers, renderers) has one
:class:`Registry`, in the package that owns the kind. Objects come from three places, all looked up in the same way:

1. ftkit's own, given to the registry as ``"module:attribute"`` and imported on first use;
2. installed packages, which name theirs under the registry's entry-point group in ``pyproject.toml``;
3. scripts, which call :meth:`Registry.register`.

A package whose object cannot be imported causes a warning and harms nothing else.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, overload

from ftkit.errors import ConfigError

__all__ = ["PluginWarning", "Registry", "subclass_check"]

T = TypeVar("T")


class PluginWarning(UserWarning):
    """An installed package registers an object that ftkit cannot use. The object is left out."""


class Registry(Generic[T]):
    """Objects of one kind by name.

    Args:
        kind: what one object is called in messages, e.g. ``"loss"``.
        group: entry-point group in which installed packages name theirs, e.g. ``"ftkit.losses"``.
        built_in: ftkit's own objects: name to ``"module:attribute"``. Imported on first use.
        check: called with a name and an object before the object is accepted; raises :class:`ConfigError` if it is
            not of this kind, and returns what to keep, so that it may instantiate a class.
        reserved: names of ftkit's own that another registry holds; nobody may register them here.
    """

    def __init__(
        self,
        kind: str,
        *,
        group: str,
        built_in: Mapping[str, str] | None = None,
        check: Callable[[str, Any], T] | None = None,
        reserved: Collection[str] = (),
    ) -> None:
        self.kind = kind
        self.group = group
        self._built_in = dict(built_in or {})
        self._own = frozenset((*self._built_in, *reserved))
        self._check = check
        self._loaded: dict[str, T] = {}
        self._registered: dict[str, T] = {}
        self._broken: set[str] = set()
        self._lock = threading.RLock()

    @overload
    def register(self, name: str, item: T) -> T: ...
    @overload
    def register(self, name: str) -> Callable[[T], T]: ...
    def register(self, name: str, item: T | None = None) -> T | Callable[[T], T]:
        """Add an object from a script or a test; also usable as a decorator.

        Registering a name again replaces what a script registered before, so that a notebook cell can run twice.

        Args:
            name: the name to register.
            item: the object. Without it, a decorator is returned.

        Returns:
            ``item``, or a decorator that registers what it decorates and returns it unchanged.

        Raises:
            ConfigError: the name is one of ftkit's own or an installed package's, or the object is not of this kind.
        """

        def add(given: T) -> T:
            if name in self._own:
                raise ConfigError(f"the {self.kind} {name!r} is one of ftkit's own; choose another name")
            if name in self._entry_points():
                raise ConfigError(f"an installed package registers the {self.kind} {name!r}; choose another name")
            kept = given if self._check is None else self._check(name, given)
            with self._lock:
                self._registered[name] = kept
            return given

        return add if item is None else add(item)

    def unregister(self, name: str) -> None:
        """Remove what a script registered under ``name``; do nothing if there is none.

        Args:
            name: the registered name.
        """
        with self._lock:
            self._registered.pop(name, None)

    def get(self, name: str) -> T:
        """Return the object that a name stands for.

        Args:
            name: the registered name.

        Returns:
            The object, imported if this is its first use.

        Raises:
            ConfigError: nothing is registered under this name, or a package's object cannot be loaded.
        """
        found = self.find(name)
        if found is None:
            raise ConfigError(self._unknown(name))
        return found

    def find(self, name: str) -> T | None:
        """Return the object that a name stands for, or None if the name is unknown.

        Args:
            name: the registered name.

        Returns:
            The object, or None.

        Raises:
            ConfigError: an installed package registers the name, and its object cannot be loaded.
        """
        with self._lock:
            if name in self._registered:
                return self._registered[name]
            if name in self._loaded:
                return self._loaded[name]
            if name in self._built_in:
                module, _, attribute = self._built_in[name].partition(":")
                loaded = getattr(importlib.import_module(module), attribute)
                self._loaded[name] = loaded if self._check is None else self._check(name, loaded)
                return self._loaded[name]
            point = self._entry_points().get(name)
            if point is None:
                return None
            try:
                plugged_in = _load(point)
                self._loaded[name] = plugged_in if self._check is None else self._check(name, plugged_in)
            except (Exception, SystemExit) as error:  # a package's import may raise anything
                plain = isinstance(error, ConfigError | ImportError)
                reason = str(error) if plain else f"{type(error).__name__}: {error}"
                raise ConfigError(f"the {self.kind} {name!r} ({point.value}) cannot be loaded: {reason}") from error
            return self._loaded[name]

    def names(self) -> tuple[str, ...]:
        """List every known name, without importing anything.

        Returns:
            ftkit's own names in their order, then those of installed packages, then those of scripts.
        """
        return tuple(dict.fromkeys((*self._built_in, *self._entry_points(), *self._registered)))

    def origin(self, name: str) -> str:
        """Say where a name comes from: ``"ftkit"``, the package's name, or ``"script"``.

        Args:
            name: the registered name.

        Returns:
            ``"ftkit"``, the name of the installed distribution, ``"script"``, or ``""`` if the name is unknown.
        """
        if name in self._built_in:
            return "ftkit"
        point = self._entry_points().get(name)
        if point is not None:
            return _package(point)
        return "script" if name in self._registered else ""

    def clashes(self) -> list[tuple[str, str, str]]:
        """List what installed packages register under a name that is taken. Nobody can use these objects.

        Returns:
            For each object its name, its package, and the reason why it is left out.
        """
        used = self._entry_points()
        return [
            (
                point.name,
                _package(point),
                f"the {self.kind} {point.name!r} ({point.value}) is left out: "
                + ("the name is one of ftkit's own" if point.name in self._own else "another package registers it too"),
            )
            for point in _installed(self.group, tuple(sys.path))
            if used.get(point.name) is not point
        ]

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield every object that can be loaded, with its name.

        An installed package's object that cannot be loaded is left out with a :class:`PluginWarning`.

        Yields:
            Name and object, in the order of :meth:`names`.
        """
        for name in self.names():
            try:
                found = self.find(name)
            except ConfigError as error:
                if name not in self._broken:
                    self._broken.add(name)
                    warnings.warn(f"{error}; it is left out", PluginWarning, stacklevel=2)
                continue
            if found is not None:
                yield name, found

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self.names()

    def _entry_points(self) -> dict[str, EntryPoint]:
        """Entry points of this kind's group by name; no package can replace ftkit's own names or another package's."""
        points: dict[str, EntryPoint] = {}
        for point in _installed(self.group, tuple(sys.path)):
            if point.name not in self._own:
                points.setdefault(point.name, point)
        return points

    def _unknown(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.names(), n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"there is no {self.kind} {name!r}.{hint} Known: {', '.join(sorted(self.names()))}"


def _load(point: EntryPoint) -> Any:
    """Import what an entry point names. What its modules print goes to standard error, away from results."""
    if EntryPoint.pattern.match(point.value) is None:
        raise ConfigError("an entry point has the form 'module:attribute'")
    with contextlib.redirect_stdout(sys.stderr):
        return point.load()


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


@functools.lru_cache(maxsize=64)
def _installed(group: str, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """The entry points of a group. Looking them up reads a file of each package, so it is done once for a path."""
    return tuple(entry_points(group=group))


def subclass_check(noun: str, base: type[Any], public_name: str) -> Callable[[str, Any], Any]:
    """Make the ``check`` of a registry of classes.

    A class with a field ``kind``, by which dumped objects are recognised, must be registered under its kind.

    Args:
        noun: what one class is called in messages, e.g. ``"adapter"``.
        base: what all classes must derive from.
        public_name: the base as users import it, e.g. ``"ftkit.recipe.Adapter"``.

    Returns:
        A function of a name and an object. It returns the object, and raises :class:`ConfigError` if it is not such a
        class.
    """

    def check(name: str, item: Any) -> Any:
        if not (isinstance(item, type) and issubclass(item, base)):
            raise ConfigError(f"the {noun} {name!r} must be a subclass of {public_name}, not {item!r}")
        fields = getattr(item, "model_fields", {})
        if "kind" in fields and (kind := fields["kind"].default) != name:
            raise ConfigError(f"the {noun} {name!r} must declare kind: Literal[{name!r}] = {name!r}, not {kind!r}")
        return item

    return check
