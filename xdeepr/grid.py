"""Horizontal grids: cell edges, nesting of LR and HR, orientation, coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr._proj import geographic
from xdeepr.errors import AxisError, GridError

Margin = tuple[int, int, int, int]
"""HR cells on the low-y, high-y, low-x and high-x side."""

Kind = Literal["latlon", "projected", "rotated"]

_SPACING_TOLERANCE = 2e-2
"""Deviation from even spacing, in cells, that float32 or rounded coordinates may have."""

_NESTING_TOLERANCE = 2e-2
"""Deviation from nesting, in HR cells."""

_METRES = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1000.0}

_DEFAULT_ATTRS: dict[tuple[str, str], dict[str, str]] = {
    ("latlon", "y"): {"standard_name": "latitude", "units": "degrees_north"},
    ("latlon", "x"): {"standard_name": "longitude", "units": "degrees_east"},
    ("rotated", "y"): {"standard_name": "grid_latitude", "units": "degrees"},
    ("rotated", "x"): {"standard_name": "grid_longitude", "units": "degrees"},
    ("projected", "y"): {"standard_name": "projection_y_coordinate", "units": "m"},
    ("projected", "x"): {"standard_name": "projection_x_coordinate", "units": "m"},
}


@dataclass(frozen=True, eq=False)
class GridAxis:
    """One horizontal axis with its cells in ascending order.

    Parameters
    ----------
    name : str
        Dimension and coordinate name in the user's data.
    centres : numpy.ndarray
        float64, strictly ascending and evenly spaced; longitudes are unwrapped (350, 355, 360).
    descending : bool
        Whether the user's data run the other way.
    attrs : mapping
        Attributes of the coordinate.
    turn : float, optional
        Longitude at which the user's values start again (0 or -180), if that happens inside the
        domain. None otherwise: a coordinate that was monotonic stays so, as CF wants it.
    values : numpy.ndarray, optional
        The coordinate as it stands in a file, in ascending order of `centres`. Where it is known
        it is handed on to the bit, because xarray aligns coordinates by equality.
    dtype : numpy.dtype
        Type of the coordinate.
    """

    name: str
    centres: np.ndarray
    descending: bool = False
    attrs: Mapping[str, Any] = field(default_factory=dict)
    turn: float | None = None
    values: np.ndarray | None = None
    dtype: np.dtype = field(default_factory=lambda: np.dtype("float64"))

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(self.centres.size)

    @property
    def step(self) -> float:
        """Size of a cell."""
        return float(self.centres[-1] - self.centres[0]) / (self.size - 1)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the cells, one more than there are cells."""
        return self.centres[0] + self.step * (np.arange(self.size + 1) - 0.5)

    def refine(self, factor: int) -> GridAxis:
        """Return the axis with each cell split into `factor` cells."""
        step = self.step / factor
        start = self.edges[0] + step / 2
        centres = start + step * np.arange(self.size * factor)
        return replace(self, centres=centres, values=None)

    def crop(self, low: int, high: int) -> GridAxis:
        """Return the axis without some cells on the low and the high side."""
        kept = slice(low, self.size - high)
        values = None if self.values is None else self.values[kept]
        return replace(self, centres=self.centres[kept], values=values)

    def snap(self, known: np.ndarray) -> GridAxis:
        """Return the axis with coordinate values taken from `known`, if all cells are there.

        Parameters
        ----------
        known : numpy.ndarray
            Coordinate values of another axis in ascending order, such as that of the training
            data.
        """
        nearest = np.searchsorted(known, self.centres - self.step / 2)
        if nearest[-1] >= known.size:
            return self
        values = known[nearest]
        same = np.abs(values - self.centres) < _NESTING_TOLERANCE * self.step
        return replace(self, values=values, dtype=known.dtype) if same.all() else self

    def known(self) -> np.ndarray:
        """Return coordinate values in ascending order, those of the file where they are known."""
        return self.centres if self.values is None else self.values

    def coordinate(self) -> np.ndarray:
        """Return the coordinate in the user's order, convention and type."""
        if self.values is not None:
            return self.values[::-1] if self.descending else self.values
        # 46.900000000000006 is 46.9: without rounding it aligns with nothing
        return np.round(self.in_user_order(self.centres), 9).astype(self.dtype)

    def in_user_order(self, values: np.ndarray) -> np.ndarray:
        """Return ascending values (first axis) in the user's order and longitude convention."""
        values = values[::-1] if self.descending else values
        if self.turn is None:
            return values
        first = values if values.ndim == 1 else values.mean(axis=1)
        # a centre at the seam itself must not fall to its other side by rounding
        shift = -360 * np.floor((first - self.turn) / 360 + 1e-9)
        return values + (shift if values.ndim == 1 else shift[:, None])


@dataclass(frozen=True, eq=False)
class Grid:
    """A rectilinear grid.

    Parameters
    ----------
    y, x : GridAxis
        The axes.
    kind : {"latlon", "projected", "rotated"}
        What the axes measure.
    mapping : (str, dict), optional
        Name and attributes of the grid mapping variable.
    """

    y: GridAxis
    x: GridAxis
    kind: Kind
    mapping: tuple[str, dict[str, Any]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        return self.y.size, self.x.size

    def refine(self, factor: int) -> Grid:
        """Return the grid of the same extent with `factor` × `factor` cells for each cell."""
        return replace(self, y=self.y.refine(factor), x=self.x.refine(factor))

    def merge(self, factor: int) -> Grid:
        """Return the grid whose cells are `factor` × `factor` cells of this one.

        Raises
        ------
        GridError
            If a size is not a multiple of the factor, or fewer than two cells would be left.
        """
        for axis in (self.y, self.x):
            if axis.size % factor or axis.size < 2 * factor:
                raise GridError(
                    f"{axis.name!r} has {axis.size} cells, which is not a multiple of {factor} with"
                    f" at least 2 cells left: select {axis.size // factor * factor} cells first."
                )
        y, x = (
            replace(a, centres=a.centres.reshape(-1, factor).mean(axis=1), values=None)
            for a in (self.y, self.x)
        )
        return replace(self, y=y, x=x)

    def crop(self, margin: Margin) -> Grid:
        """Return the grid without some cells on each side.

        Raises
        ------
        GridError
            If fewer than two cells are left along an axis.
        """
        for axis, low, high in ((self.y, *margin[:2]), (self.x, *margin[2:])):
            if axis.size - low - high < 2:
                raise GridError(
                    f"{axis.name!r} has {axis.size} HR cells; after a margin of {low} and {high}"
                    " cells nothing is left: give a larger LR domain."
                )
        return replace(self, y=self.y.crop(*margin[:2]), x=self.x.crop(*margin[2:]))

    def origin(self) -> tuple[int, int]:
        """Return the absolute (y, x) index of the first cell.

        A cell has the same index in any domain that contains it; longitudes count modulo the
        globe.
        """
        y, x = (self._index(axis) for axis in (self.y, self.x))
        return y, x % self.period if self.period else x

    @property
    def period(self) -> int | None:
        """Number of cells around the globe; None where x is no longitude or does not close."""
        return _cells_around(self.x.step) if self.kind == "latlon" else None

    def _index(self, axis: GridAxis) -> int:
        """Return the absolute index of an axis' first cell."""
        around = None if self.kind == "projected" else _cells_around(axis.step)
        # far from 0 the rounding of a float32 step would add up to whole cells
        step = 360 / around if around else axis.step
        # edges often lie on multiples of the step or half-way between them: an odd shift keeps
        # both away from where rounding goes one way in one sub-domain and the other in the next
        return round(float(axis.edges[0]) / step + 0.137)

    def area_weights(self) -> np.ndarray:
        """Return the relative area of the cells of each row, mean 1, shape (y,)."""
        if self.kind == "projected":
            return np.ones(self.y.size)
        edges = np.clip(self.y.edges, -90, 90)
        area = np.diff(np.sin(np.deg2rad(edges)))
        return area / area.mean()

    def coordinates(self) -> dict[str, xr.DataArray]:
        """Return coordinate variables in the user's order and convention.

        Returns
        -------
        dict of str to xarray.DataArray
            y and x with bounds, the grid mapping, and on projected and rotated grids the 2-D
            latitude and longitude (if pyproj is installed and understands the mapping).

        Raises
        ------
        GridError
            If cells are centred beyond a pole.
        """
        reach = float(np.abs(self.y.centres).max())
        if self.kind != "projected" and reach > 90 + 1e-3 * self.y.step:
            raise GridError(
                f"{self.y.name!r} would reach {reach:g} degrees, beyond the pole: leave out the"
                " rows that are centred on the poles, for example"
                f" ds.isel({self.y.name}=slice(1, -1))."
            )
        out: dict[str, xr.DataArray] = {}
        for axis in (self.y, self.x):
            bounds = f"{axis.name}_bnds"
            attrs = {**axis.attrs, "bounds": bounds}
            pairs = np.stack([axis.edges[:-1], axis.edges[1:]], axis=1)
            if self.kind != "projected" and axis is self.y:
                pairs = np.clip(pairs, -90, 90)
            pairs = axis.in_user_order(pairs)
            if axis.descending:
                pairs = pairs[:, ::-1]
            out[axis.name] = xr.DataArray(axis.coordinate(), dims=axis.name, attrs=attrs)
            out[bounds] = xr.DataArray(pairs, dims=(axis.name, "bnds"))
            for name in (axis.name, bounds):
                out[name].encoding["_FillValue"] = None  # CF: coordinates have no missing values
        if self.mapping is not None:
            out[self.mapping[0]] = xr.DataArray(np.int32(0), attrs=self.mapping[1])
            if self.kind != "latlon":
                out |= self._geographic()
        return out

    def _geographic(self) -> dict[str, xr.DataArray]:
        """Return 2-D latitude and longitude of the cell centres, where they can be had."""
        assert self.mapping is not None  # the only caller checks
        unit = 1.0 if self.kind == "rotated" else _METRES.get(str(self.x.attrs.get("units")))
        if unit is None:
            return {}
        x, y = (unit * axis.in_user_order(axis.centres) for axis in (self.x, self.y))
        found = geographic(*np.meshgrid(x, y), *self.mapping)
        if found is None:
            return {}
        lat, lon = found
        dims = (self.y.name, self.x.name)
        out = {
            "latitude": xr.DataArray(lat, dims=dims, attrs=_DEFAULT_ATTRS["latlon", "y"]),
            "longitude": xr.DataArray(lon, dims=dims, attrs=_DEFAULT_ATTRS["latlon", "x"]),
        }
        for da in out.values():
            da.encoding["_FillValue"] = None
        return out


def _cells_around(step: float) -> int | None:
    """Return the number of cells in 360 degrees, if it is whole but for rounded coordinates."""
    around = 360 / step
    return round(around) if abs(around - round(around)) < 0.05 else None


def grid_of(obj: xr.DataArray | xr.Dataset) -> Grid:
    """Return the grid of a field.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Has 1-D horizontal coordinates in any order and longitude convention.

    Returns
    -------
    Grid

    Raises
    ------
    AxisError
        If an axis is missing or has fewer than two cells.
    GridError
        If an axis is not evenly spaced.
    """
    axes = cf.find_axes(obj)
    kind = _kind(obj, axes)
    return Grid(
        _axis(obj[axes.y], kind, "y"), _axis(obj[axes.x], kind, "x"), kind, _mapping(obj, axes)
    )


def _kind(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> Kind:
    """Tell degrees north and east from rotated degrees and from metres."""
    y, x = obj[axes.y], obj[axes.x]
    names = {c.attrs.get("standard_name") for c in (y, x)}
    if names & {"grid_latitude", "grid_longitude"} or {axes.y, axes.x} == {"rlat", "rlon"}:
        return "rotated"
    if names & {"projection_y_coordinate", "projection_x_coordinate"}:
        return "projected"
    if names & {"latitude", "longitude"} or y.attrs.get("units") in cf.LATITUDE_UNITS:
        return "latlon"
    named_so = {axes.y.lower(), axes.x.lower()} & {"lat", "latitude", "lon", "longitude"}
    return "latlon" if named_so else "projected"


def _axis(coord: xr.DataArray, kind: Kind, which: Literal["y", "x"]) -> GridAxis:
    """Return one axis, ascending, with longitudes unwrapped."""
    name = str(coord.name)
    values = np.asarray(coord.values, dtype=np.float64)
    if values.size < 2:
        raise AxisError(
            f"{name!r} has only {values.size} cell: at least 2 are needed to know the spacing;"
            " select a larger domain."
        )
    turn = None
    if kind != "projected" and which == "x":
        unwrapped = np.unwrap(values, period=360)
        if not np.array_equal(unwrapped, values):
            turn = 0.0 if values.min() >= 0 else -180.0
        values = unwrapped
    descending = bool(values[0] > values[-1])
    centres = values[::-1] if descending else values
    step = _step(centres)
    even = centres[0] + step * np.arange(centres.size)
    worst = int(np.argmax(np.abs(centres - even)))
    if not step > 0 or abs(centres[worst] - even[worst]) > _SPACING_TOLERANCE * step:
        raise GridError(
            f"{name!r} is not evenly spaced (near {centres[worst]:g}): interpolate to an evenly"
            f" spaced axis first, for example ds.interp({name}=np.linspace(...))."
        )
    attrs = {**_DEFAULT_ATTRS[kind, which], "axis": which.upper()}
    kept = ("standard_name", "long_name", "units", "axis")
    attrs |= {k: coord.attrs[k] for k in kept if k in coord.attrs}
    own = coord.values if np.issubdtype(coord.dtype, np.floating) else coord.values.astype(float)
    own = own[::-1] if descending else own
    return GridAxis(name, even, descending, attrs, turn, own, own.dtype)


def _step(centres: np.ndarray) -> float:
    """Return the step of a coordinate.

    Single precision knows it poorly: from two cells at 350 degrees a step of 0.1 comes out wrong
    by 3e-4, which is a whole cell when `Grid.origin` counts from 0. So of all the steps that fit,
    one that is a simple fraction is taken.
    """
    step = float(centres[-1] - centres[0]) / (centres.size - 1)
    rounding = float(np.spacing(np.float32(np.abs(centres).max()))) / (centres.size - 1)
    if not step > rounding or not np.array_equal(centres, centres.astype(np.float32)):
        return step
    fractions = (Fraction(step).limit_denominator(10**digits) for digits in range(9))
    return next((float(f) for f in fractions if abs(f - step) <= rounding), step)


def _mapping(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> tuple[str, dict[str, Any]] | None:
    """Return name and attributes of the grid mapping variable."""
    fields = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    for da in fields:
        name = da.attrs.get("grid_mapping", da.encoding.get("grid_mapping"))
        if isinstance(name, str) and {axes.y, axes.x} <= set(da.dims):
            name = name.split(":")[0].strip()  # "crs" or, extended, "crs: x y"
            if name in obj.coords or (isinstance(obj, xr.Dataset) and name in obj.variables):
                return name, dict(obj[name].attrs)
    return None


def relate(lr: Grid, hr: Grid) -> tuple[int, Margin]:
    """Return how an HR grid nests in an LR grid.

    Parameters
    ----------
    lr, hr : Grid
        The grids; the HR domain may be smaller.

    Returns
    -------
    factor : int
        HR cells in an LR cell along each axis, 2 to 8.
    margin : tuple of int
        HR cells missing on the low-y, high-y, low-x and high-x side, so that
        ``hr == lr.refine(factor).crop(margin)``.

    Raises
    ------
    GridError
        If the grids are of different kinds, or the HR grid does not nest or reaches beyond.
    """
    if lr.kind != hr.kind:
        raise GridError(
            f"the LR grid is {lr.kind}, the HR grid {hr.kind}: regrid one of them to the other's"
            " kind first."
        )
    factors = [a.step / b.step for a, b in ((lr.y, hr.y), (lr.x, hr.x))]
    factor = round(factors[0])
    sizes = max(hr.shape)
    if any(abs(f / max(factor, 1) - 1) * sizes > _NESTING_TOLERANCE * 10 for f in factors) or not (
        2 <= factor <= 8
    ):
        raise GridError(
            f"the HR grid does not nest in the LR grid: an LR cell holds {factors[0]:.4g} HR cells"
            f" along {hr.y.name!r} and {factors[1]:.4g} along {hr.x.name!r}; one whole number"
            " from 2 to 8 is needed. Regrid the labels to a whole fraction of the LR cell."
        )
    low_y, high_y = _margins(lr.y, hr.y, factor, periodic=False)
    low_x, high_x = _margins(lr.x, hr.x, factor, periodic=lr.kind != "projected")
    return factor, (low_y, high_y, low_x, high_x)


def _margins(lr: GridAxis, hr: GridAxis, factor: int, *, periodic: bool) -> tuple[int, int]:
    """Return the HR cells between the sides of the two domains along one axis."""
    offset = hr.edges[0] - lr.edges[0]
    if periodic:
        offset -= 360 * round((hr.edges.mean() - lr.edges.mean()) / 360)
    low = round(offset / hr.step)
    off = offset / hr.step - low
    if abs(off) > _NESTING_TOLERANCE * 5:
        raise GridError(
            f"the HR grid does not nest in the LR grid: along {hr.name!r} its cells are off by"
            f" {abs(off):.2g} of an HR cell ({abs(off) * hr.step:.3g} in the coordinate's units)."
            " Regrid the labels so that LR cell edges are HR cell edges."
        )
    high = lr.size * factor - low - hr.size
    for missing, side in ((low, "low"), (high, "high")):
        if missing < 0:
            raise GridError(
                f"the HR domain reaches {-missing} HR cells beyond the LR domain on the {side} side"
                f" of {hr.name!r}: select labels inside {lr.edges[0]:g} to {lr.edges[-1]:g}, or"
                " give a larger LR domain."
            )
    return low, high


def ascending(da: xr.DataArray, axes: cf.Axes) -> xr.DataArray:
    """Return a field with dimensions (..., y, x), y and x ascending; lazy.

    Parameters
    ----------
    da : xarray.DataArray
        A field on the grid.
    axes : Axes
        Its axes.
    """
    da = da.transpose(..., axes.y, axes.x)
    grid = grid_of(da)
    flips = {a.name: slice(None, None, -1) for a in (grid.y, grid.x) if a.descending}
    return da.isel(flips)


def as_user_order(da: xr.DataArray, grid: Grid) -> xr.DataArray:
    """Return an ascending field in the order the user's data have; lazy.

    Parameters
    ----------
    da : xarray.DataArray
        A field with ascending y and x.
    grid : Grid
        Its grid.
    """
    flips = {a.name: slice(None, None, -1) for a in (grid.y, grid.x) if a.descending}
    return da.isel(flips)
