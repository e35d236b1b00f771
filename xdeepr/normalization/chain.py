"""Transforms one after the other, and the table of those that a card can name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xdeepr.checks import nearest
from xdeepr.errors import OptionError
from xdeepr.normalization.affine import Affine
from xdeepr.normalization.transform import EVERYTHING, Interval, Transform, Values
from xdeepr.normalization.transforms import Log, Sqrt


@dataclass(frozen=True)
class Chain(Transform):
    r"""Transforms :math:`f_1, \ldots, f_n` of the same channels, one after the other.

    It applies :math:`f_n \circ \ldots \circ f_1` and inverts from right to left. Physical values
    lie in :math:`f_1^{-1}(\ldots f_n^{-1}(\mathbb{R}))`.

    Parameters
    ----------
    transforms : tuple of Transform
        At least one; the first is given physical values. A chain within a chain is unrolled.

    Examples
    --------
    >>> import numpy as np
    >>> rain = np.array([0.0, 0.5, 80.0]).reshape(1, 1, 3)
    >>> chain = Chain((Log(scale=0.1, dry=0.1), Affine([2.0], [3.0])))
    >>> chain.apply(rain).round(2).ravel().tolist()
    [-0.67, -0.07, 1.56]
    >>> chain.invert(np.array([-5.0, 0.0, 1.0]).reshape(1, 1, 3)).round(2).ravel().tolist()
    [0.0, 0.64, 14.74]
    """

    name: ClassVar[str] = "chain"

    transforms: tuple[Transform, ...]

    def __post_init__(self) -> None:
        flat = tuple(link for t in self.transforms for link in links(t))
        object.__setattr__(self, "transforms", flat)
        if not flat:
            raise OptionError("a chain of no transforms: give one at least.")
        counts = [t.channels for t in flat]
        if len(set(counts)) > 1:
            names = ", ".join(f"{t.name} of {n}" for t, n in zip(flat, counts, strict=True))
            raise OptionError(f"the transforms of a chain need the same channels, not {names}.")
        if len({t.domain for t in flat} - {None}) > 1:
            raise OptionError("the transforms of a chain were fitted to domains of other sizes.")

    @property
    def channels(self) -> int:
        return self.transforms[0].channels

    @property
    def by_field(self) -> bool:
        return any(t.by_field for t in self.transforms)

    @property
    def by_month(self) -> bool:
        return any(t.by_month for t in self.transforms)

    @property
    def domain(self) -> tuple[int, int] | None:
        return next((t.domain for t in self.transforms if t.domain is not None), None)

    def bounds(self, channel: int, latent: Interval = EVERYTHING) -> Interval:
        for transform in reversed(self.transforms):
            latent = transform.bounds(channel, latent)
        return latent

    def apply(self, values: Values, **where: Any) -> Values:
        # statistics are those of the values that reach the transform that needs them
        for transform in self.transforms:
            values = transform.apply(values, **where)
        return values

    def invert(self, values: Values, **where: Any) -> Values:
        for transform in reversed(self.transforms):
            values = transform.invert(values, **where)
        return values

    def to_json(self) -> dict[str, Any]:
        return {"transforms": [{"name": t.name, **t.to_json()} for t in self.transforms]}

    def tensors(self) -> dict[str, np.ndarray]:
        # "1/mean" is the second's
        return {
            f"{number}/{key}": array
            for number, transform in enumerate(self.transforms)
            for key, array in transform.tensors().items()
        }

    @classmethod
    def from_json(
        cls, data: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
    ) -> Chain:
        if set(data) != {"transforms"} or not isinstance(data["transforms"], list):
            raise KeyError(f"a chain has transforms and nothing else, not {sorted(data)}")
        return cls(
            tuple(
                read_transform(stored, within(tensors or {}, str(number)))
                for number, stored in enumerate(data["transforms"])
            )
        )


TRANSFORMS: dict[str, type[Transform]] = {
    "affine": Affine,
    "log": Log,
    "sqrt": Sqrt,
    "chain": Chain,
}
"""Name in a card -> transform. One of your own is added here."""


def links(transform: Transform) -> tuple[Transform, ...]:
    """Return the transforms of a chain, or a transform alone."""
    return transform.transforms if isinstance(transform, Chain) else (transform,)


def write_transform(transform: Transform) -> dict[str, Any]:
    """Return what a card says of a transform; its :meth:`Transform.tensors` are left out.

    An affine one alone has no name in it: cards are older than the other transforms.
    """
    named = {} if isinstance(transform, Affine) else {"name": transform.name}
    return {**named, **transform.to_json()}


def read_transform(
    data: Mapping[str, Any], tensors: Mapping[str, np.ndarray] | None = None
) -> Transform:
    """Rebuild a transform from what :func:`write_transform` gave, and the arrays it left out.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the name is unknown (with the nearest ones), or the data are not those of the transform.
    """
    rest = dict(data)
    name = rest.pop("name", Affine.name)
    if not isinstance(name, str) or name not in TRANSFORMS:
        close = ", ".join(nearest(name, TRANSFORMS))
        raise ValueError(f"unknown transform {name!r}; nearest names: {close}")
    return TRANSFORMS[name].from_json(rest, tensors)


def within(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays under a prefix, by the rest of their names."""
    return {
        key.removeprefix(f"{prefix}/"): array
        for key, array in tensors.items()
        if key.startswith(f"{prefix}/")
    }
