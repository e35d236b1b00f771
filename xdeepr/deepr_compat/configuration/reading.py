"""From a YAML file to a checked configuration; errors say where the key stands and what is near."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from itertools import accumulate
from operator import and_, eq
from pathlib import Path
from typing import Any

import yaml

from xdeepr.checks import nearest
from xdeepr.deepr_compat.configuration.schema import Configuration
from xdeepr.deepr_compat.configuration.section import ConfigurationSection, keys_of
from xdeepr.deepr_compat.untrusted import check_extent, read_text, validated
from xdeepr.errors import OptionError

MOST_BYTES, MOST_VALUES, MOST_ALIASES = 2**20, 20_000, 200
"""Longest file, and most values and references in it; DeepR's largest has 5 KB and 200 values."""


class _Loader(yaml.SafeLoader):
    """Plain data only, as `yaml.safe_load`, no key twice, and no references that multiply."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > MOST_ALIASES:
            raise ValueError(f"it has more than {MOST_ALIASES} references (*name)")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise ValueError(f"a section has more than {MOST_VALUES:,} keys")

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # yaml refuses it below, in its own words
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"line {line}: the key {key!r} is there twice; drop one"
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_configuration(source: str | os.PathLike[str] | Mapping[str, Any]) -> Configuration:
    """Read a configuration from a YAML file, or what one holds, and check it; no data are opened.

    ``.notes()`` of the result names the keys that have no effect here.

    Raises
    ------
    OptionError
        If the file is missing or no plain YAML, or a key is there twice, unknown, missing or of the
        wrong type. All that is wrong is named at once, with the path of each key.

    Examples
    --------
    >>> files = {"model_predictions_location": "ours", "observations_location": "truth"}
    >>> configuration = read_configuration({"validation": {**files, "validation_dir": "scores"}})
    >>> configuration.validation.model_name
    'model'
    """
    if isinstance(source, Mapping):
        name, content = "the configuration", dict(source)
    else:
        name, content = str(source), _read_yaml(Path(source))
    plain = _without_text_none(content)
    return validated(Configuration, plain, name, error=OptionError, cure="", advice=_advice)


def _read_yaml(path: Path) -> dict[str, Any]:
    text = read_text(path, most=MOST_BYTES, error=OptionError, cure="check the name")
    try:
        content = yaml.load(text, Loader=_Loader)
        check_extent(content, values=MOST_VALUES)
    except yaml.constructor.ConstructorError as error:
        problem = error.problem or str(error)
        if "could not determine a constructor" in problem:
            line = error.problem_mark.line + 1 if error.problem_mark else "?"
            problem = (
                f"line {line}: {problem}; a configuration holds plain values and builds no objects"
            )
        raise OptionError(f"{path}: {problem}.") from None
    except yaml.YAMLError as error:
        raise OptionError(f"{path} is no YAML: {error}") from None
    except (ValueError, RecursionError, OverflowError) as error:  # impossible dates and numbers
        raise OptionError(f"{path} cannot be read as a configuration: {error}.") from None
    if not isinstance(content, dict):
        raise OptionError(
            f"{path} holds {type(content).__name__} where sections are expected, such as"
            " data_configuration:"
        )
    return content


def _without_text_none(value: Any) -> Any:
    """Read the text "None" as null everywhere, as DeepR does."""
    if isinstance(value, Mapping):
        return {key: _without_text_none(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_text_none(inner) for inner in value]
    return None if isinstance(value, str) and value == "None" else value


def _advice(location: Sequence[Any]) -> str:
    """Return the nearest key of the same section, or the section in which the key is known."""
    *above, key = location
    section: type[ConfigurationSection] | None = Configuration
    for part in above:
        section = keys_of(section).get(str(part)) if section is not None else None
    here = tuple(map(str, above))
    elsewhere = [path[:-1] for path in _all_paths(Configuration) if path[-1] == str(key)]
    if elsewhere:  # known, but in another section: the one that shares most of the path
        best = max(elsewhere, key=lambda path: sum(accumulate(map(eq, path, here), and_)))
        return f"It belongs {'under ' + '.'.join(best) if best else 'at the top'}"
    keys = sorted(keys_of(section)) if section is not None else []
    return f"Nearest: {nearest(str(key)[:100], keys, count=1)[0]} (known: {', '.join(keys)})"


def _all_paths(
    section: type[ConfigurationSection], above: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key there is."""
    for key, below in keys_of(section).items():
        yield (*above, key)
        if below is not None:
            yield from _all_paths(below, (*above, key))
