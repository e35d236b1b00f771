"""Coordinates and static covariates that a checkpoint keeps, read no further than they are needed.

Those of a large domain are larger than the model: verbs read the coordinates, and each task the
part of the covariates that it works on.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import xarray as xr

from xdeepr.errors import CheckpointError
from xdeepr.tiling.plan import EDGE

if TYPE_CHECKING:
    from xdeepr.grids import Grid
    from xdeepr.models.card import Card

CARD, COVARIATES = "card.json", "covariates.safetensors"

_NUMBERS = {"BOOL", "F16", "F32", "F64", *(f"{sign}{n}" for sign in "IU" for n in (8, 16, 32, 64))}
"""Types that numpy knows, as safetensors calls them."""


def load_coordinates(folder: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the HR coordinate values y and x of the training data, ascending."""
    arrays = load_arrays(folder, ("y", "x"))
    return arrays["y"], arrays["x"]


def load_untrained(folder: str | os.PathLike[str]) -> np.ndarray:
    """Return the HR cells whose labels were missing at all times of the training, bool (y, x)."""
    arrays = load_arrays(folder, ("untrained",))
    if "untrained" not in arrays:
        raise CheckpointError(
            f"{Path(folder) / COVARIATES} lacks 'untrained', which its card speaks of: copy the"
            " checkpoint again."
        )
    return arrays["untrained"] > 0.5


def load_covariates(
    folder: str | os.PathLike[str], card: Card, grid: Grid, digest: str
) -> xr.Dataset:
    """Return the static covariates of the training domain; their values are read lazily.

    The same `digest` of a checkpoint gives the lazy arrays the same names.
    """
    y, x = load_coordinates(folder)
    card_now = sha256(Path(folder) / CARD)
    dims = (grid.y.name, grid.x.name)
    fields = {}
    for number, quantity in enumerate(card.covariates):
        stored = _Stored(str(folder), card_now, number, _shape_of(y, x))
        name, meta = f"deepr-kept-{digest}-{number}", np.empty((0, 0), np.float32)
        values = da.from_array(stored, chunks=EDGE, name=name, meta=meta)
        fields[quantity.name] = (dims, values, {**quantity.attrs, "units": quantity.units})
    ds = xr.Dataset(fields, grid.variables_of((y, x)))
    if grid.mapping is not None:
        ds[grid.mapping[0]] = ((), 0, grid.mapping[1])
        for quantity in card.covariates:
            ds[quantity.name].attrs["grid_mapping"] = grid.mapping[0]
    return ds


@dataclass(frozen=True)
class _Stored:
    """One covariate in a file: looks like an array, and reads what is asked for."""

    folder: str
    card: str  # SHA-256 of its card, which tells it from another checkpoint in its place
    number: int  # which covariate
    shape: tuple[int, int]
    dtype = np.dtype("float32")
    ndim = 2

    def __getitem__(self, part: tuple[slice, slice]) -> np.ndarray:
        if sha256(Path(self.folder) / CARD) != self.card:
            raise CheckpointError(
                f"{self.folder} has changed since downscale() was called: call it again."
            )
        with opened(Path(self.folder) / COVARIATES) as file:
            which = slice(self.number, self.number + 1)
            return np.asarray(file.get_slice("values")[(which, *part)][0], dtype=self.dtype)


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, however long it is."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_arrays(
    folder: str | os.PathLike[str], wanted: Sequence[str] | None = None, card: Card | None = None
) -> dict[str, np.ndarray]:
    """Read ``values`` (covariate, y, x), ``y``, ``x`` and perhaps ``untrained`` (y, x), or some.

    Shapes and types of all of them are checked, also against the card.
    """
    file = Path(folder) / COVARIATES
    with opened(file) as stored:
        _check(file, stored, card)
        names = [n for n in stored.keys() if wanted is None or n in wanted]  # noqa: SIM118
        arrays = {name: stored.get_tensor(name) for name in names}
    for name in ("y", "x"):
        if not np.isfinite(arrays.get(name, 0)).all():
            raise CheckpointError(
                f"{file} has coordinates that are not finite: copy the checkpoint again."
            )
    return arrays


def _check(file: Path, arrays: Any, card: Card | None) -> None:
    """Refuse arrays of shapes or types that cannot be."""
    heads = {name: arrays.get_slice(name) for name in arrays.keys()}  # noqa: SIM118
    shapes = {name: tuple(head.get_shape()) for name, head in heads.items()}
    y, x, values = (shapes.get(name, ()) for name in ("y", "x", "values"))
    # the axes' values; on a curvilinear grid latitude and longitude
    shape = y if len(y) == 2 else (*y, *x)
    fits = len(y) == len(x) and len(y) in (1, 2) and (len(y) == 1 or x == y)
    fits &= len(values) == 3 and values[1:] == shape
    fits &= shapes.get("untrained", shape) == shape
    fits &= card is None or values[:1] == (len(card.covariates),)
    if not fits or not all(head.get_dtype() in _NUMBERS for head in heads.values()):
        found = ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items()))
        raise CheckpointError(
            f"{file} does not hold covariates 'values' (covariate, y, x) with their coordinates 'y'"
            f" and 'x' as its card has them, but {found or 'nothing'}: copy the checkpoint again."
        )


def _shape_of(y: np.ndarray, x: np.ndarray) -> tuple[int, int]:
    """Return the rows and columns of the grid with these coordinates."""
    return (y.shape[0], y.shape[1]) if y.ndim == 2 else (y.size, x.size)


@contextmanager
def opened(file: Path) -> Iterator[Any]:
    """Open a file of arrays; whatever goes wrong inside is the file's fault."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as arrays:
            yield arrays
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, IndexError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(
            f"{file} is missing or damaged ({error}): copy the checkpoint again."
        ) from None
