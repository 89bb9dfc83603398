"""Read and write YAML: plain data, keys in their order, texts of several lines as blocks.

Aliases (``*name``) are values that are written once and stand in several places. A few of them inside of each other
describe more data than any memory holds ("billion laughs"), so what they stand for is counted first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ftkit.errors import ConfigError

if TYPE_CHECKING:
    import yaml

__all__ = ["read_yaml", "read_yaml_value", "write_yaml"]

_MAX_VALUES = 100_000
"""Most values of a file that has aliases, with what they stand for."""
_CORE: tuple[tuple[str, list[str], re.Pattern[str]], ...] = (
    ("tag:yaml.org,2002:bool", list("tTfF"), re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")),
    ("tag:yaml.org,2002:int", list("-+0123456789"), re.compile(r"(?:[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+)\Z")),
)
"""Booleans and whole numbers of YAML 1.2's core schema."""
_RARE_BREAKS = frozenset("\r\x85\u2028\u2029\ufeff")


def write_yaml(data: dict[str, Any]) -> str:
    """Write data as YAML that :func:`read_yaml` reads back as equal data.

    Args:
        data: plain data.

    Returns:
        The YAML.
    """
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True  # equal parts are written out, not as *id001

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else None
        if not _RARE_BREAKS.isdisjoint(value):  # only double quotes keep these apart from \n
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    return yaml.dump(data, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_yaml(text: str, source: str, example: str = "`instructions: …`", *, core: bool = False) -> dict[str, Any]:
    """Parse YAML that is a mapping, as :func:`read_yaml_value` does.

    Args:
        text: the YAML.
        source: what errors call it, such as the file's name.
        example: the first line of such a file, for errors.
        core: read it by YAML 1.2's core schema.

    Returns:
        The mapping.

    Raises:
        ConfigError: not YAML (names the line), or not a mapping.
    """
    data = read_yaml_value(text, source, core=core)
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping such as {example}, got {type(data).__name__}")
    return data


def read_yaml_value(text: str, source: str, *, core: bool = False) -> Any:
    """Parse YAML. Dates stay text; a duplicate key is refused.

    Args:
        text: the YAML.
        source: what errors call it, such as the file's name.
        core: read it by YAML 1.2's core schema, as programs in JavaScript do: ``Yes``, ``off`` and ``1:30`` are texts.

    Returns:
        The value.

    Raises:
        ConfigError: not YAML (names the line), a duplicate key, or aliases that stand for too much.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        # Without the resolver of timestamps: a `default: 2024-01-31` in a schema is text.
        yaml_implicit_resolvers = {  # noqa: RUF012
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys: set[str] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and key.value in keys:
                    raise ConfigError(f'{source}:{key.start_mark.line + 1}: the key "{key.value}" is duplicated')
                keys.add(str(key.value))
            return super().construct_mapping(node, deep)

    if core:
        for tag, first, pattern in _CORE:
            Loader.yaml_implicit_resolvers = {
                key: [each for each in resolvers if each[0] != tag]
                for key, resolvers in Loader.yaml_implicit_resolvers.items()
            }
            Loader.add_implicit_resolver(tag, pattern, first)
    try:
        loader = Loader(text)
        try:
            root = loader.get_single_node()
            if root is not None:
                _check_aliases(root, source)
            return None if root is None else loader.construct_document(root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: not valid YAML: {error.problem or error.context}") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from error


def _check_aliases(root: yaml.Node, source: str) -> None:
    """Count the values of a document, those of an aliased one wherever it stands.

    Raises:
        ConfigError: there are too many, or a value is inside of itself.
    """
    sizes: dict[int, int] = {}
    opened: set[int] = set()
    aliased = False

    def inside(node: yaml.Node) -> list[yaml.Node]:
        value = node.value
        if not isinstance(value, list):
            return []
        return [part for item in value for part in (item if isinstance(item, tuple) else (item,))]

    pending = [root]
    while pending:
        node = pending[-1]
        parts = inside(node)
        if id(node) in sizes:
            aliased = True
            pending.pop()
        elif id(node) in opened:
            sizes[id(node)] = 1 + sum(sizes[id(part)] for part in parts)
            opened.discard(id(node))
            pending.pop()
        else:
            opened.add(id(node))
            for part in parts:
                if id(part) in opened:
                    line = node.start_mark.line + 1
                    raise ConfigError(f"{source}:{line}: an alias stands inside of the value that it names")
                pending.append(part)
    if aliased and sizes[id(root)] > _MAX_VALUES:
        raise ConfigError(
            f"{source}: its aliases stand for {sizes[id(root)]:,} values, and the limit is {_MAX_VALUES:,}; write out "
            "what is needed"
        )
