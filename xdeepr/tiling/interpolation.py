"""Interpolation from the LR to the HR grid, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

from xdeepr.tiling.plan import Span

if TYPE_CHECKING:
    import torch

Method = Literal["nearest", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = get_args(Method)
"""The one table of interpolations: whatever offers one by name reads it."""

_REACH = 3
"""LR cells beyond a window that interpolation may look at (bicubic needs 2)."""


def lr_window(span: Span, factor: int, margin: int, size: int, *, context: int = 0) -> Span:
    """Return the LR cells needed to interpolate to a span of HR pixels.

    Parameters
    ----------
    span : Span
        HR pixels, counted from the low side of the HR domain.
    factor : int
        HR cells in an LR cell.
    margin : int
        HR cells between the low side of the LR domain and that of the HR domain.
    size : int
        Number of LR cells along this axis.
    context : int, default: 0
        LR cells around the span that are wanted besides.
    """
    reach = max(_REACH, context + 1)
    low = (span.start + margin) // factor - reach
    high = -(-(span.stop + margin) // factor) + reach
    return Span(max(low, 0), min(high, size))


def interpolate(
    lr: torch.Tensor,
    factor: int,
    *,
    method: Method = "bicubic",
    offset: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Interpolate LR fields (N, C, y, x) in index space; cells are areas: corners do not align.

    Parameters
    ----------
    method : {"nearest", "bilinear", "bicubic"}
        "bicubic" is cubic convolution with a = -0.75 (Keys, 1981,
        doi:10.1109/TASSP.1981.1163711). Beyond the domain the edge cell is repeated.
    offset : tuple of int
        HR pixels to leave out on the low (y, x) side of the window.
    shape : tuple of int, optional
        Height and width to keep. Default: all.
    """
    from torch.nn import functional

    options: dict[str, Any] = {} if method == "nearest" else {"align_corners": False}
    hr = functional.interpolate(lr, scale_factor=factor, mode=method, **options)
    height, width = shape if shape is not None else hr.shape[-2:]
    return window(hr, offset, (height, width))


def window(fields: torch.Tensor, start: tuple[int, int], shape: tuple[int, int]) -> torch.Tensor:
    """Return a window of fields (N, C, y, x), repeating their edges where it lies outside.

    A view, where nothing is repeated; the first row and column of `start` may be negative.
    """
    from torch.nn import functional

    (top, left), (height, width) = start, shape
    bottom, right = top + height - fields.shape[-2], left + width - fields.shape[-1]
    pad = [max(-left, 0), max(right, 0), max(-top, 0), max(bottom, 0)]
    if any(pad):
        fields = functional.pad(fields, pad, mode="replicate")
    top, left = max(top, 0), max(left, 0)
    return fields[..., top : top + height, left : left + width]
