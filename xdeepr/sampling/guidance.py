"""What a sample is made to obey while it is drawn: corrections of the denoised estimate.

A *term* of :class:`~xdeepr.sampling.samplers.SamplingOptions` is anything with the attributes of
:class:`Guidance`. For the tiles of one network call it gives a *correction*,
``(x, sigma, clean) -> correction``, which is added to the denoised estimate `clean` of the noisy
`x` at every noise level, before tiles are fused: so the result depends on tiles as that of the
network does, and on blocks and chunks not at all. Terms act one after another, in their order;
what has to hold exactly comes last.

Importing this loads no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xdeepr.checks import whole_number
from xdeepr.errors import OptionError
from xdeepr.tiling.plan import Span

if TYPE_CHECKING:
    import torch

Correction = Callable[["torch.Tensor", float, "torch.Tensor"], "torch.Tensor"]
"""``correction(x, sigma, clean)``: noisy tiles (N, V, h, w), their noise level, the denoised
estimate of them -> what is added to it; all in units of the normalized target."""


@dataclass(frozen=True)
class Tile:
    """Where and when a tile is: what a term may base its correction on.

    Parameters
    ----------
    y, x : Span
        HR pixels, counted from the first of the HR domain; on a globe, columns may lie outside of
        it and count modulo its width.
    time : int
        Seconds since 1970-01-01, see :func:`xdeepr.inputs.times.time_keys`.
    realization : int
        Index of the ensemble member.
    factor : int
        HR pixels along the edge of an LR cell.
    margin : (int, int)
        HR pixels between the low sides of the LR and the HR domain, along y and x.
    scale : int
        HR pixels along the edge of a pixel of the tile's arrays; above 1 in a latent space.
    """

    y: Span
    x: Span
    time: int
    realization: int
    factor: int
    margin: tuple[int, int] = (0, 0)
    scale: int = 1

    def whole_cells(self) -> tuple[tuple[Span, Span], tuple[slice, slice]]:
        """Return the LR cells that lie in the tile as a whole.

        First along y and x, counted from the first of the LR domain; then where they are in the
        tile, in HR pixels.
        """
        cells, pixels = [], []
        for span, margin in zip((self.y, self.x), self.margin, strict=True):
            first = -(-(span.start + margin) // self.factor)
            last = max((span.stop + margin) // self.factor, first)
            cells.append(Span(first, last))
            start = first * self.factor - margin - span.start
            pixels.append(slice(start, start + (last - first) * self.factor))
        return (cells[0], cells[1]), (pixels[0], pixels[1])


class Guidance(Protocol):
    """A term: what the samples are to obey, wherever they are.

    It goes to workers with the graph, so it has to be small, picklable and the same for equal
    arguments; a frozen dataclass of numbers and arrays is all that.
    """

    @property
    def needs_gradient(self) -> bool:
        """Whether corrections differentiate `clean` with respect to `x`; costs time and memory."""

    def describe(self) -> str:
        """Return a few words for the output's ``history``."""

    def on(self, tiles: Sequence[Tile]) -> Correction:
        """Return the correction for a batch of tiles, one for each entry of its arrays.

        It may look at no other entry than the one it corrects, so that batches do not matter.
        """


@contextmanager
def quietly(terms: Sequence[Guidance]) -> Iterator[None]:
    """Sample without any gradient, or so that terms that ask for one can have it.

    Tensors made in inference mode can never be differentiated, so it has to be known at once. The
    caller's own mode does not matter.
    """
    import torch

    wanted = any(term.needs_gradient for term in terms)
    with torch.inference_mode(not wanted), torch.no_grad():
        yield


def guided(
    denoiser: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    sigma: float,
    terms: Sequence[Guidance],
    tiles: Sequence[Tile],
) -> torch.Tensor:
    """Return the denoised estimate of noisy tiles (N, V, h, w) with the corrections of all terms.

    There is one of `tiles` for each entry of `x`; the result carries no gradient.
    """
    import torch

    if not any(term.needs_gradient for term in terms):
        clean = denoiser(x)
        for term in terms:
            clean = clean + term.on(tiles)(x, sigma, clean)
        return clean
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        clean = denoiser(x)
        for term in terms:
            # a correction is a constant for the terms after it: they see the network's Jacobian
            clean = clean + term.on(tiles)(x, sigma, clean).detach()
    return clean.detach()


@dataclass(frozen=True, eq=False)
class CellMeans:
    """The mean over each LR cell is given: the estimate is projected onto that.

    With A the mean over the LR cells of a tile, y the given means and S the covariance of the
    clean field given x, the expected clean field given x and A clean = y is, for a Gaussian
    target,

        D + S Aᵀ (A S Aᵀ)⁻¹ (y - A D)        (Rasmussen and Williams, 2006, eq. A.6),
        S = sigma² ∂D/∂x                     (Rozet et al., 2024, arXiv:2405.13712).

    Without `iterations`, S is taken as proportional to the identity, and each pixel of a cell gets
    its cell's difference: the nearest field that obeys, exact where pixels are independent.
    With them, products with S come from the denoiser's own Jacobian, and the inverse from so many
    conjugate-gradient steps: exact for every Gaussian target, once there are as many as cells in a
    tile. LR cells that are cut by the edge of a tile are left alone there.

    Parameters
    ----------
    means : numpy.ndarray
        In units of the normalized target, shape (time, V, y, x), on the LR domain.
    times : tuple of int
        Seconds since 1970-01-01, one for each time of `means`.
    iterations : int, default: 0
        Conjugate-gradient steps; each costs as much as two or three network evaluations.
    """

    means: np.ndarray
    times: tuple[int, ...]
    iterations: int = 0

    def __post_init__(self) -> None:
        whole_number("iterations", self.iterations, least=0)
        if self.means.ndim != 4 or len(self.means) != len(self.times):
            raise OptionError(
                f"means of shape {self.means.shape} for {len(self.times)} times: give an array"
                " (time, variable, y, x) on the LR domain."
            )

    @property
    def needs_gradient(self) -> bool:
        """Whether S comes from the Jacobian."""
        return self.iterations > 0

    def describe(self) -> str:
        """Return a few words for the output's ``history``."""
        steps = f" in {self.iterations} conjugate-gradient steps" if self.iterations else ""
        return f"given LR-cell means{steps}"

    def on(self, tiles: Sequence[Tile]) -> Correction:
        """Return the projection for a batch of tiles."""
        import torch

        if tiles[0].scale > 1:
            raise OptionError(
                "guidance by LR-cell means: the model draws in a latent space, whose fields have"
                " no means in the quantity's units. Use a model without an autoencoder."
            )
        wanted, windows = zip(*(self._of(tile) for tile in tiles), strict=True)
        factor = tiles[0].factor

        def mean(fields: torch.Tensor) -> list[torch.Tensor]:
            """Return A times fields, (V, y, x) for each tile."""
            cut = (f[:, y, x] for f, (y, x) in zip(fields, windows, strict=True))
            return [
                f.unflatten(-1, (-1, factor)).unflatten(-3, (-1, factor)).mean((-1, -3))
                for f in cut
            ]

        def spread(cells: Sequence[torch.Tensor], like: torch.Tensor) -> torch.Tensor:
            """Return fields whose pixels have their cell's value: factor² Aᵀ times cells."""
            fields = torch.zeros_like(like)
            for field, values, (y, x) in zip(fields, cells, windows, strict=True):
                grown = values.repeat_interleave(factor, -1).repeat_interleave(factor, -2)
                field[:, y, x] = grown
            return fields

        def correction(x: torch.Tensor, sigma: float, clean: torch.Tensor) -> torch.Tensor:
            pairs = zip(wanted, mean(clean.detach()), strict=True)
            residual = [torch.from_numpy(w).to(m) - m for w, m in pairs]
            direct = spread(residual, clean)
            if not self.iterations:  # S = 1: A Aᵀ = 1 / factor²
                return direct

            def covariance(fields: torch.Tensor) -> torch.Tensor:
                """Return S times fields, but for sigma², which cancels."""
                return torch.autograd.grad(clean, x, fields, retain_graph=True)[0]

            # on fields that are constant in each cell: (A S Aᵀ) u = y - A D, times spread
            weights = conjugate_gradient(
                lambda fields: spread(mean(covariance(fields)), clean), direct, self.iterations
            )
            return covariance(weights)

        return correction

    def _of(self, tile: Tile) -> tuple[np.ndarray, tuple[slice, slice]]:
        """Return the given means of a tile, (V, y, x), and where its whole cells are in it."""
        (rows, columns), pixels = tile.whole_cells()
        if tile.time not in self.times:
            raise OptionError(
                f"guidance by LR-cell means: there are none for the time {tile.time} (seconds since"
                " 1970-01-01): give those of all times."
            )
        field = self.means[self.times.index(tile.time)]
        around = np.arange(columns.start, columns.stop) % field.shape[-1]
        return field[:, rows.slice][..., around], pixels


def conjugate_gradient(
    product: Callable[[torch.Tensor], torch.Tensor], right: torch.Tensor, iterations: int
) -> torch.Tensor:
    """Solve a symmetric positive definite system for each entry of a batch (N, ...).

    `product` multiplies the matrix with vectors of the shape of `right`, entry by entry. An entry
    that is solved stays as it is.

    References
    ----------
    Hestenes and Stiefel, 1952, doi:10.6028/jres.049.044, equations 3:1.
    """
    import torch

    def dot(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return (a * b).flatten(1).sum(1).reshape(-1, *(1 for _ in a.shape[1:]))

    def ratio(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.where(b > 0, a / b, 0)

    solution, residual, direction = torch.zeros_like(right), right, right
    norm = first = dot(residual, residual)
    for _ in range(iterations):
        moved = product(direction)
        step = ratio(norm, dot(direction, moved))
        # beyond rounding there is nothing to solve, and ratios of rounding errors lead astray
        step = torch.where(norm > torch.finfo(norm.dtype).eps ** 2 * first, step, 0)
        solution = solution + step * direction
        residual = residual - step * moved
        norm, before = dot(residual, residual), norm
        direction = residual + ratio(norm, before) * direction
    return solution
