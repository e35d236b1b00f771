"""A grid of rows and columns: its cells, their coordinates, and where they lie on the earth.

What depends on what the axes measure is the business of its kind (:mod:`xdeepr.grids.kinds`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr

from xdeepr.errors import GridError
from xdeepr.grids.axis import GridAxis, Margin
from xdeepr.grids.centres import CellCentres
from xdeepr.grids.location import Location
from xdeepr.grids.projection import geographic, why_not_geographic

CellValues = tuple[np.ndarray, np.ndarray]
"""What tells the cells of a grid, ascending: the values of its two coordinates."""


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid of rows and columns, in a plane unless its kind says otherwise.

    Parameters
    ----------
    mapping : (str, dict), optional
        Name and attributes of the grid mapping variable.
    centres : CellCentres, optional
        2-D latitude and longitude: of a curvilinear grid, and of others where no grid mapping
        says as much.
    """

    y: GridAxis
    x: GridAxis
    mapping: tuple[str, dict[str, Any]] | None = None
    centres: CellCentres | None = None

    kind: ClassVar[str]
    """Name of the kind in the card of a model and in messages."""

    unit: ClassVar[str]
    """What the size of a cell is given in, as text that follows the number."""

    map_labels: ClassVar[tuple[str, str]]
    """Labels of y and x on a map."""

    attrs: ClassVar[tuple[dict[str, str], dict[str, str]]]
    """Attributes of y and x where the data state none; standard names among them tell the kind."""

    circle: ClassVar[float | None] = None
    """Degrees after which x starts again; None if it does not."""

    geographic: ClassVar[bool] = False
    """Whether the axes are latitude and longitude."""

    rectilinear: ClassVar[bool] = True
    """Whether a row and a column have one coordinate each."""

    size_tolerance: ClassVar[float] = 0.02
    """By how much cells may differ in size, relatively, and pass for those of one resolution."""

    cure: ClassVar[str] = (
        "Bring the coarse data onto cells in which the labels nest with lr.deepr.nest(labels), or"
        " regrid the labels so that whole numbers of HR cells fill the LR cells."
    )
    """What to do with labels that do not nest."""

    @classmethod
    def stated_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        """Whether two 1-D coordinates say that they are those of this kind, by standard name."""
        own = {attrs.get("standard_name") for attrs in cls.attrs} - {None}
        return any(coord.attrs.get("standard_name") in own for coord in (y, x))

    @classmethod
    def hinted_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        """Whether two 1-D coordinates that state no kind look like those of this one."""
        del y, x
        return False

    @property
    def shape(self) -> tuple[int, int]:
        """Number of cells along y and x."""
        return self.y.size, self.x.size

    @property
    def axes(self) -> tuple[GridAxis, GridAxis]:
        """The axes y and x."""
        return self.y, self.x

    def same_kind(self, other: Grid) -> bool:
        """Whether another grid is of the same kind."""
        return type(self) is type(other)

    def refine(self, factor: int) -> Self:
        """Return the grid of the same extent with `factor` × `factor` cells for each cell."""
        centres = self.centres and self.centres.refine(factor)
        return replace(self, y=self.y.refine(factor), x=self.x.refine(factor), centres=centres)

    def merge(self, factor: int) -> Self:
        """Return the grid whose cells are `factor` × `factor` cells of this one, none left over."""
        for axis in self.axes:
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
        centres = self.centres and self.centres.merge(factor)
        return replace(self, y=self.y.merge(factor), x=self.x.merge(factor), centres=centres)

    def crop(self, margin: Margin) -> Self:
        """Return the grid without some cells on each side; at least 2 × 2 are left."""
        for axis, low, high in ((self.y, *margin[:2]), (self.x, *margin[2:])):
            if axis.size - low - high < 2:
                raise GridError(
                    f"{axis.name!r} has {axis.size} HR cells; after a margin of {low} and {high}"
                    " cells nothing is left: give a larger LR domain."
                )
        y, x = self.y.crop(*margin[:2]), self.x.crop(*margin[2:])
        centres = self.centres and self.centres.cut(
            slice(margin[0], margin[0] + y.size), slice(margin[2], margin[2] + x.size)
        )
        return replace(self, y=y, x=x, centres=centres)

    def values(self) -> CellValues:
        """Return what tells the cells of this grid, ascending: the coordinate values of y and x."""
        return self.y.known(), self.x.known()

    def with_values(self, values: CellValues) -> Self:
        """Return the grid of the same kind with the cells of which :meth:`values` are these."""
        y, x = (axis.with_values(v) for axis, v in zip(self.axes, values, strict=True))
        return replace(self, y=y, x=x, centres=None)

    def snap(self, values: CellValues) -> Self:
        """Return the grid with the :meth:`values` of another, such as that of the training.

        They are taken if all cells are there.
        """
        return replace(self, y=self.y.snap(values[0]), x=self.x.snap(values[1]))

    def variables_of(self, values: CellValues) -> dict[str, xr.DataArray]:
        """Return coordinates under this grid's names from the :meth:`values` of another."""
        return {
            axis.name: xr.DataArray(v, dims=axis.name, attrs=dict(axis.attrs))
            for axis, v in zip(self.axes, values, strict=True)
        }

    def locate(self, cells: Grid) -> Location:
        """Return where the cells of a grid of this kind lie in this one."""
        assert self.same_kind(cells), f"{cells.kind} cells in a {self.kind} grid"
        rows, off_y = self.y.locate(cells.y)
        columns, off_x = self.x.locate(cells.x)
        return Location(rows, columns, (off_y, off_x), self.shape)

    def ratios(self, fine: Grid) -> tuple[float, float]:
        """Return how many cells of a finer grid a cell of this one holds along y and x."""
        return self.y.step / fine.y.step, self.x.step / fine.x.step

    def ratio_tolerance(self, fine: Grid) -> float:
        """Return by how much, relatively, such a ratio may differ from a whole number."""
        return 0.2 / max(fine.shape)  # a fifth of a cell over the whole domain

    def locate_among_parts(self, fine: Grid, factor: int) -> Location:
        """Return where fine cells lie among `factor` × `factor` parts of the cells of this grid."""
        return self.refine(factor).locate(fine)

    @property
    def closed(self) -> bool:
        """Whether the columns go all the way round the globe."""
        return self.geographic and self.x.closed

    @property
    def period(self) -> int | None:
        """Number of cells around the globe; None where x is no longitude or does not close."""
        return self.x.around if self.geographic else None

    def origin(self) -> tuple[int, int]:
        """Return the absolute (y, x) index of the first cell.

        A cell has the same index in any domain that contains it; longitudes count modulo the
        globe. On a curvilinear grid cells are counted by the integer coordinates of its
        dimensions; without such the first cell of the domain is number 0.
        """
        # edges often lie on multiples of the step or half-way between them: an odd shift keeps
        # both away from where rounding goes one way in one sub-domain and the other in the next
        y, x = (round(float(a.edges[0]) / self.counting_step(a) + 0.137) for a in self.axes)
        return y, x % self.period if self.period else x

    def counting_step(self, axis: GridAxis) -> float:
        """Return the size of a cell by which the cells of an axis are counted from 0."""
        return axis.step

    def extent(self) -> str:
        """Return in words what the grid covers: edges of its axes, or of 2-D coordinates."""
        return ", ".join(f"{a.name} {a.edges[0]:g} to {a.edges[-1]:g}" for a in self.axes)

    def rows_beyond_poles(self) -> tuple[int, int]:
        """Return how many rows are centred beyond the south and the north pole."""
        return 0, 0

    def area_weights(self) -> np.ndarray:
        """Return the relative area of the cells, mean 1: (y,), on a curvilinear grid (y, x)."""
        return np.ones(self.y.size)

    def cell_km(self) -> float:
        """Return the size of a cell along y in km."""
        raise NotImplementedError

    def aspect(self) -> float:
        """Return the length of a unit of y over that of a unit of x in the middle of the grid."""
        return 1.0

    @property
    def map_unit(self) -> float:
        """Length of a unit of the map in units of the axes."""
        return 1.0

    def coordinates(self) -> dict[str, xr.DataArray]:
        """Return y, x and their bounds, the grid mapping and 2-D latitude and longitude.

        They are in the user's order and convention. Latitude and longitude follow from the grid
        mapping, if pyproj is installed and understands it; otherwise they are those of the data. A
        latitude/longitude grid has none in 2-D, a curvilinear grid has nothing else.
        """
        if any(self.rows_beyond_poles()):
            reach = float(np.abs(self.y.centres).max())
            raise GridError(
                f"{self.y.name!r} would reach {reach:g} degrees, beyond the pole: leave out the"
                " rows that are centred on the poles, for example"
                f" ds.isel({self.y.name}=slice(1, -1))."
            )
        out: dict[str, xr.DataArray] = {}
        for axis in self.axes:
            bounds = f"{axis.name}_bnds"
            out[axis.name] = xr.DataArray(
                axis.coordinate(), dims=axis.name, attrs={**axis.attrs, "bounds": bounds}
            )
            pairs = axis.bounds(self.edges_of(axis))
            out[bounds] = xr.DataArray(pairs, dims=(axis.name, "bnds"))
            for name in (axis.name, bounds):
                out[name].encoding["_FillValue"] = None  # CF: coordinates have no missing values
        if self.mapping is not None:
            out[self.mapping[0]] = xr.DataArray(np.int32(0), attrs=self.mapping[1])
        return out | self.variables(("latitude", "longitude"))

    def edges_of(self, axis: GridAxis) -> np.ndarray:
        """Return the edges of the cells along an axis, as far as there is an earth."""
        return axis.edges

    def variables(self, names: tuple[str, str] | None) -> dict[str, xr.DataArray]:
        """Return 2-D latitude and longitude in the user's order, where they can be had.

        They are called so, or where `names` is None as in the user's data.
        """
        centres = self.cell_centres()
        if centres is None:
            return {}
        y, x = (slice(None, None, -1 if a.descending else 1) for a in self.axes)
        return centres.cut(y, x).variables((self.y.name, self.x.name), names)

    def cell_centres(self) -> CellCentres | None:
        """Return 2-D latitude and longitude, ascending; None where they are not known."""
        if self.centres is not None or self.mapping is None:
            return self.centres
        found = self.mapped()
        return None if found is None else CellCentres.of(*found)

    def mapped(self, every: int = 1) -> tuple[np.ndarray, np.ndarray] | None:
        """Return latitude and longitude by the grid mapping, of every n-th row and column.

        None if they cannot be had.
        """
        unit = self.mapped_unit()
        if unit is None or self.mapping is None:
            return None
        x, y = (unit * axis.centres[::every] for axis in (self.x, self.y))
        return geographic(*np.meshgrid(x, y), *self.mapping)

    def mapped_unit(self) -> float | None:
        """Return a unit of the axes in that of the grid mapping; None if it is not known."""
        return 1.0

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """Return latitude and longitude of the cell centres in degrees, ascending.

        They are float64 and broadcast to shape (y, x). Refused where they do not follow from the
        coordinates: without a grid mapping or pyproj, or in units that are not known.
        """
        subject = (
            f"latitude and longitude of the {self.kind} grid ({self.y.name!r}, {self.x.name!r})"
        )
        if self.mapping is None and self.centres is None:
            raise GridError(
                f"{subject} are not known, because no variable says how it is {self.kind}: add a"
                " grid mapping variable (CF conventions, appendix F) and name it in the attribute"
                " 'grid_mapping' of the fields."
            )
        centres = self.cell_centres()
        if centres is None and self.mapping is not None:
            hindrance = why_not_geographic(
                self.mapping[0], None if self.mapped_unit() else self.x.attrs.get("units")
            )
            raise GridError(f"{subject} are not known, because {hindrance}")
        assert centres is not None  # there is one of the two
        latitude, longitude = (np.asarray(a, dtype=np.float64) for a in centres.degrees())
        if self.mapping and not (np.isfinite(latitude).all() and np.isfinite(longitude).all()):
            raise GridError(
                f"{subject} do not exist in some cells, by the grid mapping {self.mapping[0]!r}:"
                " select a domain on the earth, or correct the attributes of the grid mapping."
            )
        return latitude, longitude
