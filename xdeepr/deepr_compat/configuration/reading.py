"""From a YAML file to a checked configuration; errors say where the key stands and what is near."""

from __future__ import annotations

import difflib
import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from xdeepr.deepr_compat.configuration.configuration import Configuration
from xdeepr.deepr_compat.configuration.section import Section, keys_of
from xdeepr.errors import OptionError

MOST_BYTES, MOST_VALUES, MOST_ALIASES = 2**20, 20_000, 200
"""Longest file, and most values and references in it; DeepR's largest has 5 KB and 200 values."""


class _Loader(yaml.SafeLoader):
    """Plain data only, as `yaml.safe_load`, no key twice, and no references that multiply."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > MOST_ALIASES:
            raise _TooLargeError(f"it has more than {MOST_ALIASES} references (*name)")
        return super().compose_node(parent, index)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > MOST_VALUES:
            raise _TooLargeError(f"a section has more than {MOST_VALUES:,} keys")

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


class _TooLargeError(ValueError):
    """The file would grow when it is read."""


def read_configuration(source: str | os.PathLike[str] | Mapping[str, Any]) -> Configuration:
    """Read a configuration and check it; no data are opened.

    Parameters
    ----------
    source : path-like or mapping
        A YAML file, or what such a file holds.

    Returns
    -------
    Configuration
        Frozen. ``.notes()`` names the keys that have no effect here.

    Raises
    ------
    OptionError
        If the file is missing or no YAML, has a key twice or builds objects, or if a key is
        unknown, missing or of the wrong type. All that is wrong is named at once, with the path
        of each key and the nearest known one.

    Examples
    --------
    >>> configuration = read_configuration("configuration_diffusion.yml")  # doctest: +SKIP
    """
    if isinstance(source, Mapping):
        name, content = "the configuration", dict(source)
    else:
        name, content = str(source), _read_yaml(Path(source))
    try:
        return Configuration.model_validate(_without_text_none(content))
    except ValidationError as error:
        problems = list(_problems(error.errors(include_url=False)))
        count = "1 error" if len(problems) == 1 else f"{len(problems)} errors"
        raise OptionError(f"{name} has {count}:\n  " + "\n  ".join(problems)) from None


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise OSError(f"it has {path.stat().st_size:,} bytes, too many for a configuration")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} cannot be read ({error}): check the name.") from None
    try:
        content = yaml.load(text, Loader=_Loader)
        _count_values(content, {}, set())
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


def _count_values(value: Any, known: dict[int, int], above: set[int]) -> int:
    """Return the number of values in what was read, each as often as it is referred to.

    Raises
    ------
    _TooLargeError
        If there are too many, as few lines of references to references make, or without end.
    """
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) in above:
        raise _TooLargeError("a section refers to itself")
    if id(value) not in known:
        above.add(id(value))
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_count_values(v, known, above) for v in inner)
        above.discard(id(value))
    if known[id(value)] > MOST_VALUES:
        raise _TooLargeError(f"with its references it has more than {MOST_VALUES:,} values")
    return known[id(value)]


def _without_text_none(value: Any) -> Any:
    """Read the text "None" as null everywhere, as DeepR does."""
    if isinstance(value, Mapping):
        return {key: _without_text_none(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_text_none(inner) for inner in value]
    return None if isinstance(value, str) and value == "None" else value


def _problems(errors: Sequence[Any]) -> Iterator[str]:
    """Say in one line each what is wrong, where, and what would be right."""
    for error in errors:
        *above, last = error["loc"] or ("the file",)
        location = [part for part in above if not _is_branch(part)]
        if error["type"] == "extra_forbidden" or not _is_branch(last):  # a key may look like one
            location.append(last)
        path = _line(".".join(map(str, location))) or "the file"
        if error["type"] == "extra_forbidden":
            yield f"{path}: unknown key. {_advice(location)}"
        elif error["type"] == "missing":
            yield f"{path}: missing"
        elif error["type"] == "value_error":
            yield f"{path}: {error['ctx']['error']}"
        elif error["type"] == "model_type":
            yield f"{path}: give keys and values, not {_short(error['input'])}"
        else:
            message = error["msg"].replace("Input should", "should")
            yield f"{path}: {message} (given: {_short(error['input'])})"


def _short(value: Any) -> str:
    """Return a value for a message, of sensible length."""
    return repr(value)[:300]


def _line(text: str) -> str:
    """Return a key for a message: of sensible length, and only what can be shown."""
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _is_branch(part: Any) -> bool:
    """Whether a part of pydantic's location names a kind of value and no key."""
    return isinstance(part, str) and ("[" in part or part in ("str", "float", "int"))


def _advice(location: Sequence[Any]) -> str:
    """Return the nearest key of the same section, or the section in which the key is known."""
    *above, key = location
    section: type[Section] | None = Configuration
    for part in above:
        section = keys_of(section).get(str(part)) if section is not None else None
    known = sorted(keys_of(section)) if section is not None else []
    here = tuple(map(str, above))
    elsewhere = [path[:-1] for path in _all_paths(Configuration) if path[-1] == str(key)]
    if elsewhere:  # known, but in another section: the one that shares most of the path
        best = max(elsewhere, key=lambda path: _shared(path, here))
        return f"It belongs {'under ' + '.'.join(best) if best else 'at the top'}"
    near = difflib.get_close_matches(str(key)[:100], known, n=1, cutoff=0.6)
    if near:
        return f"Nearest: {near[0]}"
    nearest = difflib.get_close_matches(str(key)[:100], known, n=1, cutoff=0.0)
    return f"Nearest: {nearest[0]} (known: {', '.join(known)})"


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of leading sections that two paths share."""
    same = [a == b for a, b in zip(one, other, strict=False)]
    return same.index(False) if False in same else len(same)


def _all_paths(section: type[Section], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every key there is."""
    for key, below in keys_of(section).items():
        yield (*above, key)
        if below is not None:
            yield from _all_paths(below, (*above, key))
