"""Interpolation from the LR to the HR grid, window by window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from xdeepr.plan import Span

if TYPE_CHECKING:
    import torch

Method = Literal["nearest", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = ("nearest", "bilinear", "bicubic")

_REACH = 3
"""LR cells beyond a window that interpolation may look at (bicubic needs 2)."""


def lr_window(span: Span, factor: int, margin: int, size: int) -> Span:
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

    Returns
    -------
    Span
    """
    low = (span.start + margin) // factor - _REACH
    high = -(-(span.stop + margin) // factor) + _REACH
    return Span(max(low, 0), min(high, size))


def interpolate(
    lr: torch.Tensor,
    factor: int,
    *,
    method: Method = "bicubic",
    offset: tuple[int, int] = (0, 0),
    shape: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Interpolate in index space; cells are areas, so corners are not aligned.

    Parameters
    ----------
    lr : torch.Tensor
        Shape (N, C, y, x).
    factor : int
        HR cells in an LR cell.
    method : {"nearest", "bilinear", "bicubic"}
        "bicubic" is cubic convolution with a = -0.75 (Keys, 1981,
        doi:10.1109/TASSP.1981.1163711). Beyond the domain the edge cell is repeated.
    offset : tuple of int
        HR pixels to leave out on the low (y, x) side of the window.
    shape : tuple of int, optional
        Height and width to keep. Default: all.

    Returns
    -------
    torch.Tensor
        Shape (N, C, height, width).
    """
    from torch.nn import functional

    options: dict[str, Any] = {} if method == "nearest" else {"align_corners": False}
    hr = functional.interpolate(lr, scale_factor=factor, mode=method, **options)
    height, width = shape if shape is not None else hr.shape[-2:]
    return hr[..., offset[0] : offset[0] + height, offset[1] : offset[1] + width]
