"""Read and check the small JSON files of DeepR's checkpoints."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn

from xdeepr.errors import CheckpointError

MOST_JSON_BYTES = 2**24
"""A longer JSON file is not read; a scale of 12 × 160 × 240 cells has 8 MiB."""

MOST_CELLS = 2**14
"""Greatest height or width of a grid."""

AGAIN = "copy the checkpoint again"


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Parameters
    ----------
    file : pathlib.Path
        A JSON file.

    Raises
    ------
    CheckpointError
        If it is missing, too long, no JSON, not an object, or has a number that is not finite.
    """
    try:
        if file.stat().st_size > MOST_JSON_BYTES:
            raise CheckpointError(
                f"{file} has {file.stat().st_size:,} bytes, more than any configuration needs: it"
                f" is not what its name says; {AGAIN}."
            )
        data = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        raise CheckpointError(f"{file} is missing: {AGAIN}, with all its files.") from None
    except CheckpointError:
        raise
    except (OSError, ValueError, RecursionError) as error:  # JSON and Unicode errors are ValueError
        raise CheckpointError(f"{file} is no valid JSON ({error}): {AGAIN}.") from None
    if not isinstance(data, dict):
        raise CheckpointError(
            f"{file} holds a {type(data).__name__} where an object is needed: {AGAIN}."
        )
    return data


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def check_keys(
    config: Mapping[str, Any],
    file: Path,
    *,
    required: Collection[str],
    optional: Collection[str] = (),
) -> None:
    """Refuse a configuration that lacks a key or has one that is not known.

    Parameters
    ----------
    config : mapping
        The configuration.
    file : pathlib.Path
        Where it stands, for the message.
    required, optional : collection of str
        The keys that it must and may have.

    Raises
    ------
    CheckpointError
        Names the first key.
    """
    for key in sorted(set(required) - set(config)):
        raise CheckpointError(
            f"{file} lacks {key!r}: the model was made by another version of DeepR than those"
            " that xdeepr reads, or the file was edited."
        )
    for key in sorted(set(config) - set(required) - set(optional)):
        raise CheckpointError(
            f"{file} has the key {key!r}, which xdeepr does not know: it may change what the"
            " network does, so the model is not read. Delete the key from the file if you know"
            " that it changes nothing."
        )


def whole_number(
    config: Mapping[str, Any], key: str, file: Path, *, least: int = 1, most: int = 2**12
) -> int:
    """Return a whole number of a configuration, within limits.

    Raises
    ------
    CheckpointError
        If it is something else.
    """
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise CheckpointError(
            f"{file}: {key} is {value!r}, where a whole number from {least} to {most} is needed:"
            f" {AGAIN}."
        )
    return value


def size(config: Mapping[str, Any], key: str, file: Path) -> tuple[int, int]:
    """Return a height and a width of a configuration; one number stands for both.

    Raises
    ------
    CheckpointError
        If it is something else, or absurdly large.
    """
    value = config[key]
    pair = [value, value] if isinstance(value, int) else value
    if not isinstance(pair, list) or len(pair) != 2:
        raise CheckpointError(
            f"{file}: {key} is {value!r}, where a height and a width are needed: {AGAIN}."
        )
    height, width = (whole_number({key: n}, key, file, most=MOST_CELLS) for n in pair)
    return height, width
