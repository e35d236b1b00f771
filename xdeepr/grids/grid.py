"""Horizontal grids: cells, orientation, coordinates, and where the cells lie on the earth."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf.axes import folded_pairs
from xdeepr.errors import AxisError, GridError
from xdeepr.grids.axis import GridAxis, Kind, Margin, axis_of, is_descending
from xdeepr.grids.curvilinear import Places, distance, places_of, unit_vectors
from xdeepr.grids.projection import geographic

_METRES = {"m": 1.0, "metre": 1.0, "metres": 1.0, "meter": 1.0, "meters": 1.0, "km": 1000.0}

_AGREE, _APART, _APART_KM = 0.05, 1.0, 2.0
"""Cells up to which a grid mapping and 2-D coordinates agree; cells and km from which not."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid of rows and columns.

    Parameters
    ----------
    y, x : GridAxis
        The axes.
    kind : {"latlon", "projected", "rotated", "curvilinear"}
        What the axes measure. Those of a curvilinear grid count cells.
    mapping : (str, dict), optional
        Name and attributes of the grid mapping variable.
    places : Places, optional
        2-D latitude and longitude: of a curvilinear grid, and of others where no grid mapping
        says as much.
    """

    y: GridAxis
    x: GridAxis
    kind: Kind
    mapping: tuple[str, dict[str, Any]] | None = None
    places: Places | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        return self.y.size, self.x.size

    def refine(self, factor: int) -> Grid:
        """Return the grid of the same extent with `factor` × `factor` cells for each cell."""
        places = self.places and self.places.refine(factor)
        return replace(self, y=self.y.refine(factor), x=self.x.refine(factor), places=places)

    def merge(self, factor: int) -> Grid:
        """Return the grid whose cells are `factor` × `factor` cells of this one.

        Raises
        ------
        GridError
            If a size is not a multiple of the factor, or fewer than two cells would be left.
        """
        for axis in (self.y, self.x):
            if axis.size < 2 * factor:
                raise GridError(
                    f"{axis.name!r} has {axis.size} cells, but at least {2 * factor} are needed so"
                    f" that blocks of {factor} leave 2: give a larger domain or a smaller factor."
                )
            if axis.size % factor:
                raise GridError(
                    f"{axis.name!r} has {axis.size} cells, which is not a multiple of {factor}:"
                    f" select {axis.size // factor * factor} cells first."
                )
        places = self.places and self.places.merge(factor)
        return replace(self, y=self.y.merge(factor), x=self.x.merge(factor), places=places)

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
        y, x = self.y.crop(*margin[:2]), self.x.crop(*margin[2:])
        places = self.places and self.places.cut(
            slice(margin[0], margin[0] + y.size), slice(margin[2], margin[2] + x.size)
        )
        return replace(self, y=y, x=x, places=places)

    def known(self) -> tuple[np.ndarray, np.ndarray]:
        """Return what tells the cells of this grid, ascending.

        Returns
        -------
        y, x : numpy.ndarray
            Coordinate values of the axes; of a curvilinear grid latitude and longitude,
            shape (y, x).
        """
        if self.kind == "curvilinear" and self.places is not None:
            lat, lon = self.places.degrees()
            return np.ascontiguousarray(lat), np.ascontiguousarray(lon)
        return self.y.known(), self.x.known()

    def snap(self, known: tuple[np.ndarray, np.ndarray]) -> Grid:
        """Return the grid with coordinate values taken from `known`, if all its cells are there.

        Parameters
        ----------
        known : tuple of numpy.ndarray
            What :meth:`known` returned for another grid, such as that of the training.
        """
        if self.kind != "curvilinear":
            return replace(self, y=self.y.snap(known[0]), x=self.x.snap(known[1]))
        if self.places is None or known[0].ndim != 2:
            return self
        whole = replace(Places.of(*known), names=self.places.names, attrs=self.places.attrs)
        first = whole.locate(self.places)
        if first is None:
            return self
        rows, columns = (slice(a, a + n) for a, n in zip(first, self.shape, strict=True))
        return replace(self, places=whole.cut(rows, columns))

    def variables_of(self, known: tuple[np.ndarray, np.ndarray]) -> dict[str, xr.DataArray]:
        """Return coordinates under this grid's names from what :meth:`known` returned."""
        if known[0].ndim == 2:
            places = self.places or Places.of(*known)
            whole = replace(Places.of(*known), names=places.names, attrs=places.attrs)
            return whole.variables((self.y.name, self.x.name))
        return {
            axis.name: xr.DataArray(values, dims=axis.name, attrs=dict(axis.attrs))
            for axis, values in zip((self.y, self.x), known, strict=True)
        }

    @property
    def closed(self) -> bool:
        """Whether the columns go all the way round the globe."""
        x = self.x
        return self.kind == "latlon" and x.size * x.step > 360 - 0.5 * x.step

    def origin(self) -> tuple[int, int]:
        """Return the absolute (y, x) index of the first cell.

        A cell has the same index in any domain that contains it; longitudes count modulo the
        globe. On a curvilinear grid cells are counted by the integer coordinates of its
        dimensions; without such the first cell of the domain is number 0.
        """
        y, x = (self._index(axis) for axis in (self.y, self.x))
        return y, x % self.period if self.period else x

    @property
    def period(self) -> int | None:
        """Number of cells around the globe; None where x is no longitude or does not close."""
        return _cells_around(self.x.step) if self.kind == "latlon" else None

    def _index(self, axis: GridAxis) -> int:
        """Return the absolute index of an axis' first cell."""
        degrees = self.kind in ("latlon", "rotated")
        around = _cells_around(axis.step) if degrees else None
        # far from 0 the rounding of a float32 step would add up to whole cells
        step = 360 / around if around else axis.step
        # edges often lie on multiples of the step or half-way between them: an odd shift keeps
        # both away from where rounding goes one way in one sub-domain and the other in the next
        return round(float(axis.edges[0]) / step + 0.137)

    def extent(self) -> str:
        """Return in words what the grid covers: edges of its axes, or of 2-D coordinates."""
        if self.kind == "curvilinear" and self.places is not None:
            (lat, lon), names = self.places.degrees(), self.places.names
            spans = [(names[0], lat.min(), lat.max()), (names[1], lon.min(), lon.max())]
        else:
            spans = [(axis.name, axis.edges[0], axis.edges[-1]) for axis in (self.y, self.x)]
        return ", ".join(f"{name} {low:g} to {high:g}" for name, low, high in spans)

    def rows_beyond_poles(self) -> tuple[int, int]:
        """Return how many rows are centred beyond the south and the north pole."""
        if self.kind not in ("latlon", "rotated"):
            return 0, 0
        y, most = self.y.centres, 90 + 1e-3 * self.y.step
        return int((y < -most).sum()), int((y > most).sum())

    def area_weights(self) -> np.ndarray:
        """Return the relative area of the cells, mean 1.

        Returns
        -------
        numpy.ndarray
            Shape (y,), one for each row; of a curvilinear grid shape (y, x).
        """
        if self.kind == "curvilinear" and self.places is not None:
            areas = self.places.areas()
            return areas / areas.mean()
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
            y and x with bounds, the grid mapping, and on all but latitude/longitude grids the 2-D
            latitude and longitude (by the grid mapping, if pyproj is installed and understands
            it; otherwise those of the data). A curvilinear grid has only these.

        Raises
        ------
        GridError
            If cells are centred beyond a pole.
        """
        if self.kind == "curvilinear":
            return self._geographic()
        if any(self.rows_beyond_poles()):
            reach = float(np.abs(self.y.centres).max())
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

    def positions(self) -> Places | None:
        """Return where the cells lie, ascending; None where that is not known.

        A latitude/longitude grid needs none: its axes say it.
        """
        if self.places is not None or self.kind == "latlon" or self.mapping is None:
            return self.places
        found = _projected(self.x, self.y, self.kind, self.mapping)
        return None if found is None else Places.of(*found)

    def _geographic(self) -> dict[str, xr.DataArray]:
        """Return 2-D latitude and longitude in the user's order, where they can be had."""
        places = self.positions()
        if places is None:
            return {}
        flips = (slice(None, None, -1 if a.descending else 1) for a in (self.y, self.x))
        places = places.cut(*flips)
        names = None if self.kind == "curvilinear" else ("latitude", "longitude")
        return places.variables((self.y.name, self.x.name), names)


def _projected(
    x: GridAxis, y: GridAxis, kind: Kind, mapping: tuple[str, dict[str, Any]], every: int = 1
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return latitude and longitude by the grid mapping, of all or of every n-th cell."""
    unit = 1.0 if kind == "rotated" else _METRES.get(str(x.attrs.get("units")))
    if unit is None:
        return None
    columns, rows = (unit * axis.centres[::every] for axis in (x, y))
    return geographic(*np.meshgrid(columns, rows), *mapping)


def _cells_around(step: float) -> int | None:
    """Return the number of cells in 360 degrees, if it is whole but for rounded coordinates."""
    around = 360 / step
    return round(around) if abs(around - round(around)) < 0.05 else None


def grid_of(obj: xr.DataArray | xr.Dataset, axes: cf.Axes | None = None) -> Grid:
    """Return the grid of a field.

    Parameters
    ----------
    obj : xarray.DataArray or xarray.Dataset
        Has 1-D horizontal coordinates in any order and longitude convention, or 2-D latitudes and
        longitudes.
    axes : Axes, optional
        Its axes, where they are known already. Default: they are looked for.

    Returns
    -------
    Grid

    Raises
    ------
    AxisError
        If an axis is missing or has fewer than two cells, or it is not known what it measures.
    GridError
        If an axis is not evenly spaced, or the grid mapping contradicts the 2-D latitude and
        longitude.
    """
    axes = cf.find_axes(obj) if axes is None else axes
    mapping = _mapping(obj, axes)
    kind = _kind(obj, axes, mapping)
    if kind == "curvilinear":
        return _curvilinear(obj, axes)
    y, x = axis_of(obj[axes.y], kind, "y"), axis_of(obj[axes.x], kind, "x")
    if kind == "latlon":
        return Grid(y, x, kind, mapping)
    places = places_of(obj, axes, needed=False)
    if places is None:
        return Grid(y, x, kind, mapping)
    flips = (slice(None, None, -1 if a.descending else 1) for a in (y, x))
    places = places.cut(*flips)
    if mapping is not None and _agree(x, y, kind, mapping, places):
        places = None
    return Grid(y, x, kind, mapping, places)


def _curvilinear(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> Grid:
    """Return a grid whose cells are known by 2-D latitude and longitude alone."""
    places = places_of(obj, axes, needed=True)
    assert places is not None  # the axes were found by them
    y, x = (
        GridAxis(
            dim, (_first(obj, dim) + 0.5 + np.arange(n)) * max(size, 1e-9), attrs={"units": "km"}
        )
        for dim, n, size in zip((axes.y, axes.x), places.shape, places.sizes, strict=True)
    )
    return Grid(y, x, "curvilinear", None, places)


def _first(obj: xr.DataArray | xr.Dataset, dim: str) -> int:
    """Return the number of the first cell along a dimension, by its coordinate if it counts."""
    if dim not in obj.coords or not np.issubdtype(obj[dim].dtype, np.number):
        return 0
    values = np.asarray(obj[dim].values, dtype=np.float64)
    counts = (np.diff(values) == 1).all() and values[0] == round(values[0])
    return int(values[0]) if counts else 0


def _agree(
    x: GridAxis, y: GridAxis, kind: Kind, mapping: tuple[str, dict[str, Any]], places: Places
) -> bool:
    """Whether a grid mapping puts the cells where the 2-D latitude and longitude say.

    A sample of the cells is compared.
    """
    every = max(1, max(places.shape) // 10)
    found = _projected(x, y, kind, mapping, every)
    if found is None:
        return False
    own = places.vectors[::every, ::every]
    off = float(distance(unit_vectors(*found), own).max())
    cells = off / max(min(places.sizes), 1e-9)
    if cells <= _AGREE:
        return True
    names = f"{places.names[0]!r} and {places.names[1]!r}"
    if not np.isfinite(off) or (cells > _APART and off > _APART_KM):
        raise GridError(
            f"the grid mapping {mapping[0]!r} puts cells {off:.0f} km from where {names} say they"
            f" are: one of the two is wrong. Correct ds[{mapping[0]!r}].attrs, or leave out the"
            f" wrong ones: ds.drop_vars({mapping[0]!r}) or ds.drop_vars({list(places.names)})."
        )
    warnings.warn(
        f"the grid mapping {mapping[0]!r} puts cells up to {1000 * off:.0f} m from where {names}"
        " say they are, which are taken: check its attributes, above all the shape of the earth"
        " (semi_major_axis, inverse_flattening).",
        UserWarning,
        stacklevel=3,
    )
    return False


def _kind(
    obj: xr.DataArray | xr.Dataset, axes: cf.Axes, mapping: tuple[str, dict[str, Any]] | None
) -> Kind:
    """Tell degrees north and east, rotated degrees, metres, and counts of cells."""
    kind = _stated_kind(obj, axes)
    if kind is None and mapping is not None:
        return "projected"
    if kind is None:
        y, x = axes.y, axes.x
        raise AxisError(
            f"it is not known what {y!r} and {x!r} measure: they have neither a standard_name nor"
            f" units. For degrees, ds.rename({{{y!r}: 'lat', {x!r}: 'lon'}}); for a projection, set"
            f" ds[{y!r}].attrs.update(standard_name='projection_y_coordinate', units='m') and"
            f" {x!r} likewise."
        )
    return kind


def _stated_kind(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> Kind | None:
    """Return the kind of a grid as its coordinates state it."""
    if axes.y not in obj.coords or axes.x not in obj.coords:
        return "curvilinear"
    y, x = obj[axes.y], obj[axes.x]
    names = {c.attrs.get("standard_name") for c in (y, x)}
    if names & {"grid_latitude", "grid_longitude"} or {axes.y, axes.x} == {"rlat", "rlon"}:
        return "rotated"
    if names & {"projection_y_coordinate", "projection_x_coordinate"}:
        return "projected"
    if names & {"latitude", "longitude"} or y.attrs.get("units") in cf.LATITUDE_UNITS:
        return "latlon"
    if {axes.y.lower(), axes.x.lower()} & {"lat", "latitude", "lon", "longitude"}:
        return "latlon"
    if any(c.attrs.get("units") in _METRES for c in (y, x)):
        return "projected"
    return "curvilinear" if folded_pairs(obj) else None


def _mapping(obj: xr.DataArray | xr.Dataset, axes: cf.Axes) -> tuple[str, dict[str, Any]] | None:
    """Return name and attributes of the grid mapping variable."""
    fields = [obj] if isinstance(obj, xr.DataArray) else list(obj.data_vars.values())
    fields = [da for da in fields if {axes.y, axes.x} <= set(da.dims)]
    for da in fields:
        name = da.attrs.get("grid_mapping", da.encoding.get("grid_mapping"))
        if isinstance(name, str):
            name = name.split(":")[0].strip()  # "crs" or, extended, "crs: x y"
            if name in obj.coords or (isinstance(obj, xr.Dataset) and name in obj.variables):
                return name, dict(obj[name].attrs)
            _warn_of_lost_mapping(obj, axes, str(da.name), name)
    if fields:
        return None
    # a file of coordinates has no field that could name the mapping
    variables = obj.variables if isinstance(obj, xr.Dataset) else obj.coords
    found = [str(n) for n, v in variables.items() if "grid_mapping_name" in v.attrs]
    return (found[0], dict(obj[found[0]].attrs)) if len(found) == 1 else None


def _warn_of_lost_mapping(
    obj: xr.DataArray | xr.Dataset, axes: cf.Axes, field: str, name: str
) -> None:
    """Say that nothing tells where the cells of a projected or rotated grid lie."""
    if isinstance(obj, xr.DataArray):
        return  # holds no such variable unless someone made it a coordinate
    if _stated_kind(obj, axes) in ("projected", "rotated") and not folded_pairs(obj):
        warnings.warn(
            f"{field!r} names the grid mapping {name!r}, which is not in the data (selecting"
            " variables leaves it out), so latitude and longitude are not known: open files with"
            f" decode_coords='all', or add it with ds.assign_coords({name}=...).",
            UserWarning,
            stacklevel=4,
        )


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
    kind = _stated_kind(da, axes)
    if kind == "curvilinear":
        return da
    turns = kind in ("latlon", "rotated")
    dims = [d for d in (axes.y, axes.x) if is_descending(da[d], turns=turns and d == axes.x)]
    return da.isel({d: slice(None, None, -1) for d in dims})


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
