"""Read and write YAML: plain data, keys in their order, texts of several lines as blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ftkit.errors import ConfigError

if TYPE_CHECKING:
    import yaml

__all__ = ["read_yaml", "write_yaml"]

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


def read_yaml(text: str, source: str) -> dict[str, Any]:
    """Parse YAML that is a mapping. Dates stay text; a duplicate key is refused.

    Args:
        text: the YAML.
        source: what errors call it, such as the file's name.

    Returns:
        The mapping.

    Raises:
        ConfigError: not YAML (names the line), a duplicate key, or not a mapping.
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

    try:
        data = yaml.load(text, Loader=Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{source}{line}: not valid YAML: {error.problem or error.context}") from error
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{source}: expected a mapping such as `instructions: …`, got {type(data).__name__}")
    return data
