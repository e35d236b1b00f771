"""Checks of what a user gives, said once: a known name, a whole number, a warning at their line."""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from xdeepr.errors import OptionError


def nearest(name: object, known: Iterable[str], *, count: int = 3) -> list[str]:
    """Return the known names most like this one, the best first.

    Parameters
    ----------
    name : object
        What was given; its text counts, in any case.
    known : iterable of str
        Names there are.
    count : int, default: 3
        Most names to return.

    Returns
    -------
    list of str
        At least one, if there is any known name.
    """
    by_lower = {other.lower(): other for other in known}
    wanted = str(name).lower()
    close = difflib.get_close_matches(wanted, by_lower, n=count, cutoff=0.5)
    close = close or difflib.get_close_matches(wanted, by_lower, n=1, cutoff=0.0)
    return [by_lower[other] for other in close]


def one_of(option: str, value: Any, known: Collection[str]) -> str:
    """Return a value if it is a known name.

    Parameters
    ----------
    option : str
        What the user calls it, for the message.
    value : Any
        What was given.
    known : collection of str
        Names there are.

    Raises
    ------
    OptionError
        With all known names and the nearest one.
    """
    if isinstance(value, str) and value in known:
        return value
    hint = f" Did you mean {nearest(value, known, count=1)[0]!r}?" if known else ""
    raise OptionError(f"{option}={value!r} is not one of {', '.join(known)}.{hint}")


def whole_number(
    option: str, value: Any, *, least: int = 1, most: int | None = None, optional: bool = False
) -> None:
    """Refuse anything but a whole number within limits; numpy's count, booleans do not.

    Parameters
    ----------
    option : str
        What the user calls it, for the message.
    value : Any
        What was given.
    least, most : int
        Limits, inclusive.
    optional : bool, default: False
        Whether None is a value too.

    Raises
    ------
    OptionError
        With the limits.
    """
    if value is None and optional:
        return
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if whole and value >= least and (most is None or value <= most):
        return
    limits = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise OptionError(f"{option}={value!r}: give a whole number {limits}.")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the line of the user's code that called this package, however deep the cause lies.

    Parameters
    ----------
    message : str
        Names the variable, the cause and the cure.
    category : type of Warning
        Default: UserWarning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("xdeepr."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
