"""What all sections of a configuration share: strict types, and keys that have no effect here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

_UNSET = re.compile(r"\$(\w+|\{[^}]*\})")


def _number(value: Any) -> Any:
    """Refuse true and false, which Python counts as numbers.

    YAML 1.1 reads ``1e-4`` as text; such a text is left to pydantic, which reads the number.
    """
    if isinstance(value, bool):
        raise ValueError("give a number, not true or false")
    return value


def _expanded(value: str) -> str:
    """Put the home folder for ``~`` and the environment's variables for ``$NAME``."""
    value = os.path.expandvars(os.path.expanduser(value))
    unset = _UNSET.search(value)
    if unset:
        raise ValueError(f"the environment variable {unset[0]} is not set: set it, or write a path")
    return value


def _as_list(value: Any) -> Any:
    """Read one name as a list of one."""
    return [value] if isinstance(value, str) else value


Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Number = Annotated[float, BeforeValidator(_number)]
Positive = Annotated[float, BeforeValidator(_number), Field(gt=0)]
Location = Annotated[str, AfterValidator(_expanded)]
Names = Annotated[tuple[str, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Section(BaseModel):
    """A part of a configuration: only known keys, and nothing can be changed once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def given(self, name: str) -> bool:
        """Whether a key was written, whatever its value."""
        return name in self.model_fields_set


def unused(reason: str) -> Any:
    """Return a field for a key of DeepR that has no effect here.

    Parameters
    ----------
    reason : str
        What is done instead; ends the sentence "KEY has no counterpart: ...".
    """
    return Field(default=None, json_schema_extra={"no_counterpart": reason})


def unused_keys(section: Section, path: str = "") -> Iterator[str]:
    """Say of each written key without effect what is done instead.

    Parameters
    ----------
    section : Section
        Any part of a configuration, or all of it.
    path : str
        Where it stands.

    Yields
    ------
    str
        One line for each key.
    """
    for name, field in type(section).model_fields.items():
        if name not in section.model_fields_set:
            continue
        value = getattr(section, name)
        here = f"{path}.{field.alias or name}".lstrip(".")
        extra = field.json_schema_extra
        if isinstance(extra, dict) and "no_counterpart" in extra:
            yield f"{here} has no counterpart: {extra['no_counterpart']}"
        elif isinstance(value, Section):
            yield from unused_keys(value, here)


def keys_of(section: type[Section]) -> dict[str, type[Section] | None]:
    """Return the keys of a section as they are written, and the section below each.

    Parameters
    ----------
    section : type
        A class of section.

    Returns
    -------
    dict of str to type or None
    """
    return {
        field.alias or name: _section_in(field.annotation)
        for name, field in section.model_fields.items()
    }


def _section_in(annotation: Any) -> type[Section] | None:
    """Return the section that a field holds: ``Section`` or ``Section | None``."""
    for kind in (annotation, *get_args(annotation)):
        if isinstance(kind, type) and issubclass(kind, Section):
            return kind
    return None
