"""What all sections of a configuration share: strict types, two spellings, keys without effect."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, cast, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from xdeepr import checks
from xdeepr.deepr_compat.untrusted import Number, Section

_UNSET = re.compile(r"\$(\w+|\{[^}]*\})")


class ConfigurationWarning(UserWarning):
    """A key of a configuration has no effect here, or another one than in DeepR."""


def note(text: str) -> None:
    """Warn of a key without effect, or of what is done instead."""
    checks.warn(text, ConfigurationWarning)


@contextmanager
def noted(notes: list[str]) -> Iterator[None]:
    """Add the notes given inside to a list, whatever the user's filters; warn of them at the end.

    The training and the writing stay outside, so that the user reads the notes before them.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConfigurationWarning)
        yield
    for found in caught:
        warning = cast("Warning", found.message)
        if isinstance(warning, ConfigurationWarning):
            if str(warning) in notes:
                continue  # of another variable or stage
            notes.append(str(warning))
        warnings.warn_explicit(warning, found.category, found.filename, found.lineno)


def _expanded(value: str) -> str:
    """Put the home folder for ``~`` and the environment's variables for ``$NAME``."""
    value = os.path.expandvars(os.path.expanduser(value))
    unset = _UNSET.search(value)
    if unset:
        raise ValueError(f"the environment variable {unset[0]} is not set: set it, or write a path")
    return value


Fraction = Annotated[Number, Field(ge=0, le=1)]
Location = Annotated[str, AfterValidator(_expanded)]
Names = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
    Field(min_length=1),
]
NONE = BeforeValidator(lambda value: "none" if value is None else value)
"""Reads null, and the text None, as the word "none"."""


class Either(property):
    """The value of a section under one of two keys that mean the same, or None."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys
        super().__init__(lambda section: next(self._values(section), None))

    def _values(self, section: Any) -> Iterator[Any]:
        return (value for key in self.keys if (value := getattr(section, key)) is not None)

    def check(self, section: Any) -> None:
        """Refuse two values."""
        if len(list(self._values(section))) > 1:
            raise ValueError(f"{' and '.join(self.keys)} mean the same: give one of them")


class ConfigurationSection(Section):
    """A part of a configuration: some keys have two spellings, and some have no effect here."""

    @model_validator(mode="after")
    def _validate(self) -> ConfigurationSection:
        for kind in type(self).__mro__:
            for attribute in vars(kind).values():
                if isinstance(attribute, Either):
                    attribute.check(self)
        self._check()
        return self

    def _check(self) -> None:
        """Refuse keys that contradict each other, with a ValueError."""

    def notes(self, path: str = "") -> tuple[str, ...]:
        """Say of each written key without effect what is done instead, here and below."""
        lines: list[str] = []
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set:
                continue
            value, extra = getattr(self, name), field.json_schema_extra
            here = f"{path}.{field.alias or name}".lstrip(".")
            if isinstance(extra, dict) and "no_counterpart" in extra:
                lines.append(f"{here} has no counterpart: {extra['no_counterpart']}")
            elif isinstance(value, ConfigurationSection):
                lines += value.notes(here)
        return tuple(lines)


def unused(reason: str) -> Any:
    """Return a field for a key of DeepR that has no effect here, and what is done instead."""
    return Field(default=None, json_schema_extra={"no_counterpart": reason})


def keys_of(section: type[ConfigurationSection]) -> dict[str, type[ConfigurationSection] | None]:
    """Return the keys of a section as they are written, and the class of section below each."""
    below: dict[str, type[ConfigurationSection] | None] = {}
    for name, field in section.model_fields.items():
        kinds = [k for k in (field.annotation, *get_args(field.annotation)) if isinstance(k, type)]
        sections = (kind for kind in kinds if issubclass(kind, ConfigurationSection))
        below[field.alias or name] = next(sections, None)
    return below
