"""Data of strangers: size and depth are bounded, kinds are pydantic's, errors name key and cure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from xdeepr.checks import nearest
from xdeepr.errors import CheckpointError, XdeeprError

MOST_JSON_BYTES = 2**24
"""Longest JSON file; a scale of 12 × 160 × 240 cells has 8 MiB."""

MOST_DEPTH = 40
"""Lists and mappings within each other; DeepR's files have 8."""

AGAIN = "copy the checkpoint again"
"""Cure of a damaged checkpoint."""

DAMAGED = f"The file is damaged, or of another version of DeepR: {AGAIN}"
"""Cure of a value that is wrong."""


def _number(value: Any) -> Any:
    """Refuse true and false, which Python counts as numbers.

    YAML 1.1 reads ``1e-4`` as text; such a text is left to pydantic, which reads the number.
    """
    if isinstance(value, bool):
        raise ValueError("give a number, not true or false")
    return value


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0)]


class Section(BaseModel):
    """Keys and values of a file: only known keys, and nothing can be changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


AnySection = TypeVar("AnySection", bound=BaseModel)
Advice = Callable[[Sequence[Any]], str]
"""Where an unknown key stands, as names from the outside in -> a sentence without full stop."""


def read_text(file: Path, *, most: int, error: type[XdeeprError], cure: str) -> str:
    """Return the text of a UTF-8 file of at most this many bytes, or raise this error."""
    try:
        size = file.stat().st_size
        if size > most:
            raise error(
                f"{file} has {size:,} bytes, more than any file of this kind: it is not what its"
                f" name says; {cure}."
            )
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error(f"{file} is missing: {cure}.") from None
    except (OSError, UnicodeDecodeError) as cause:
        raise error(f"{file} cannot be read ({cause}): {cure}.") from None


def check_extent(value: Any, *, values: int, depth: int = MOST_DEPTH) -> None:
    """Refuse lists and mappings of more values and keys, or more levels within each other.

    What is referred to twice counts twice, and what holds itself has no end.
    """
    level, left = [value], values
    for _ in range(depth + 1):
        level = list(islice(chain.from_iterable(map(_inside, level)), left + 1))
        left -= len(level)
        if left < 0:
            raise ValueError(f"it has more than {values:,} values")
        if not level:
            return
    raise ValueError(f"it has more than {depth} levels within each other")


def _inside(value: Any) -> Iterable[Any]:
    """Return what a list or mapping holds, keys too."""
    if isinstance(value, Mapping):
        return chain(value, value.values())
    return value if isinstance(value, list | tuple | set) else ()


def read_json(file: Path, *, infinite: Collection[str] = ()) -> dict[str, Any]:
    """Return the JSON object in a file of a checkpoint, without a key twice.

    The keys `infinite` may be ``Infinity`` or ``-Infinity``, which Python writes although JSON has
    no such numbers; all others are finite.
    """
    again = f"{AGAIN}, with all its files"
    text = read_text(file, most=MOST_JSON_BYTES, error=CheckpointError, cure=again)
    try:
        data = json.loads(text, object_pairs_hook=_object, parse_float=_float)
        check_extent(data, values=len(text))
        _check_finite(data, infinite)
    except (ValueError, RecursionError) as error:  # JSON's own errors are ValueErrors
        raise CheckpointError(f"{file} is no valid JSON ({error}): {AGAIN}.") from None
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{file} holds a {type(data).__name__} where an object is needed: {AGAIN}."
        )
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object, which has each key once."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key[:100]!r} is there twice")
        found[key] = value
    return found


def _float(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999, which is no way to write infinity
        raise ValueError(f"{text[:100]} is not a finite number")
    return number


def _check_finite(value: Any, infinite: Collection[str], key: str | None = None) -> None:
    """Refuse numbers that are not finite, other than infinite values of these keys."""
    if isinstance(value, dict):
        for name, inner in value.items():
            _check_finite(inner, infinite, name)
    elif isinstance(value, list):
        for inner in value:
            _check_finite(inner, infinite)
    elif isinstance(value, float) and not math.isfinite(value):
        if key is None:
            raise ValueError("a list holds a number that is not finite")
        if key not in infinite or math.isnan(value):
            raise ValueError(f"{key[:100]!r} is {value}, which is not a finite number")


def validated(
    kind: type[AnySection],
    data: Mapping[str, Any],
    where: str | Path,
    *,
    error: type[XdeeprError] = CheckpointError,
    cure: str = DAMAGED,
    advice: Advice | None = None,
) -> AnySection:
    """Return data as a section, or name the path and the fault of every wrong key at once.

    The message begins with `where`, a file, argument or section, and ends with the cure, a sentence
    without full stop. By default the advice on an unknown key is the nearest known one.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as found:
        lines = list(problems(found, advice or partial(nearest_key, kind)))
        damaged = any(e["type"] != "extra_forbidden" for e in found.errors(include_url=False))
    ending = f" {cure}." if damaged and cure else ""
    if len(lines) == 1:
        raise error(f"{where}: {lines[0]}.{ending}")
    text = "\n  ".join(lines)
    raise error(f"{where} has {len(lines)} errors.{ending}\n  {text}")


def nearest_key(kind: type[BaseModel], path: Sequence[Any]) -> str:
    """Return what to say of an unknown key at the end of a path: the nearest, and what to do."""
    known = sorted(field.alias or name for name, field in kind.model_fields.items())
    near = f"Nearest: {nearest(path[-1], known, count=1)[0]!r}. " if len(path) == 1 else ""
    return (
        f"{near}It may change what the model does, so it is not passed over: delete it if you know"
        " that it changes nothing"
    )


def problems(found: ValidationError, advice: Advice) -> Iterator[str]:
    """Say of each error in one line, without full stop, where it is and what is wrong."""
    for error in found.errors(include_url=False):
        *above, last = error["loc"] or ("the file",)
        location = [part for part in above if not _is_branch(part)]
        if error["type"] == "extra_forbidden" or not _is_branch(last):  # a key may look like one
            location.append(last)
        path = _line(".".join(map(str, location))) or "the file"
        if error["type"] == "extra_forbidden":
            yield f"{path}: unknown key. {advice(location)}"
        elif error["type"] == "missing":
            yield f"{path}: missing"
        elif error["type"] in ("value_error", "assertion_error"):
            yield f"{path}: {error['ctx']['error']}"
        elif error["type"] == "model_type":
            yield f"{path}: give keys and values, not {short(error['input'])}"
        else:
            message = error["msg"].replace("Input should", "should")
            yield f"{path}: {message} (given: {short(error['input'])})"


def short(value: Any) -> str:
    """Return a value for a message, of sensible length."""
    return repr(value)[:300]


def _line(text: str) -> str:
    """Return a key for a message: of sensible length, and only what can be shown."""
    return "".join(c if c.isprintable() else "?" for c in text[:300])


def _is_branch(part: Any) -> bool:
    """Whether a part of pydantic's location names a kind of value and no key."""
    return isinstance(part, str) and ("[" in part or part in ("str", "float", "int"))
