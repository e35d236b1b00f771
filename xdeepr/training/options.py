"""What the user wants of model and data, packed once from the arguments of `fit`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.inputs.missing import Missing, check_missing
from xdeepr.models.card import Diffusion, Target
from xdeepr.normalization import Method
from xdeepr.training.alignment import XarrayObject
from xdeepr.training.recipes import Recipe


@dataclass(frozen=True)
class ModelOptions:
    """What the model shall be; see :func:`xdeepr.fit`.

    `changes` are those to the network's configuration; `time_features` maps feature to encoding.
    """

    recipe: Recipe
    changes: Mapping[str, Any]
    time_features: dict[str, str]
    diffusion: Diffusion
    name: str | None = None
    target: Target | None = None
    context: int | None = None
    covariate_dropout: float = 0.0
    window: int | tuple[int, int] | None = None

    def __post_init__(self) -> None:
        share = self.covariate_dropout
        if not 0 <= share < 1:
            raise OptionError(f"covariate_dropout={share!r}: give a number from 0 to 1.")
        if self.target is not None:
            one_of("target", self.target, get_args(Target))
        whole_number("context", self.context, least=0, optional=True)


@dataclass(frozen=True)
class DataOptions:
    """How the data are read, held out and normalized; see :func:`xdeepr.fit`."""

    variables: Sequence[str] | None = None
    validation: float | tuple[XarrayObject, XarrayObject] | None = None
    missing: Missing = "error"
    normalization: Method = "domain-wise"
    by_month: bool = False

    def __post_init__(self) -> None:
        check_missing(self.missing)

    @property
    def gaps(self) -> bool:
        """Whether values may be missing."""
        return self.missing != "error"


def changed(defaults: Any, changes: Mapping[str, Any] | None, option: str) -> Any:
    """Return a dataclass with some fields changed; refuse unknown ones."""
    for key in changes or {}:
        one_of(f"{option}: key", key, [f.name for f in dataclasses.fields(defaults)])
    return dataclasses.replace(defaults, **(changes or {}))
