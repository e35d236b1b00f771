"""The first convolution of networks that fold the context in, and then double the size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from xdeepr.errors import OptionError


@dataclass(frozen=True)
class Folding:
    """How a convolution without padding leads from the LR cells to a size that doublings enlarge.

    `kernel` is its size along y and x, `levels` the number of doublings from there to the HR grid;
    `lr_shape` is the size of the LR input, context included, where the kernel belongs to one size.
    """

    levels: int
    kernel: tuple[int, int]
    lr_shape: tuple[int, int] | None


def whole_cells(factor: int) -> int:
    """Return what the LR cells of an input without context must be a multiple of.

    It is 1 for powers of two; above 1 the network belongs to one size of its input.
    """
    doubled = 1 << (factor - 1).bit_length()
    return doubled // gcd(factor, doubled)


def folding(factor: int, context: int, lr_shape: Sequence[int] | None) -> Folding:
    """Return the geometry of the first convolution.

    It maps y LR cells, context included, onto H / 2^k, where H is the HR size and k the number of
    doublings, ⌈log₂ factor⌉. If the factor is 2^k itself, this is y − 2 · context: the kernel
    folds the context in, and any size will do. Otherwise the kernel depends on y, and `lr_shape`,
    the size of the LR input along y and x with its context, is needed.
    """
    levels = (factor - 1).bit_length()
    if factor == 2**levels:
        return Folding(levels, (2 * context + 1, 2 * context + 1), None)
    step = whole_cells(factor)
    if lr_shape is None:
        raise OptionError(
            f"factor={factor} is no power of two, so that the network belongs to one size of its"
            f" LR input: give lr_shape, {2 * context} cells of context and a multiple of {step}"
            " along y and x."
        )
    kernel = []
    for cells, axis in zip(lr_shape, "yx", strict=True):
        centre = cells - 2 * context
        if centre <= 0 or centre % step:
            near = max(step, round(centre / step) * step) + 2 * context
            raise OptionError(
                f"lr_shape={tuple(lr_shape)}: without the context of {context} cells on each side"
                f" there are {centre} cells along {axis}. With factor={factor} this must be a"
                f" multiple of {step}: take {near} in place of {cells}."
            )
        kernel.append(cells - centre * factor // 2**levels + 1)
    return Folding(levels, (kernel[0], kernel[1]), (int(lr_shape[0]), int(lr_shape[1])))
