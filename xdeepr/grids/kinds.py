"""The kinds of grids: what their axes measure, and what follows from it.

A kind of one's own is one class here and one entry in :data:`KINDS`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.grids.axis import GridAxis
from xdeepr.grids.centres import LATITUDE, LONGITUDE, CellCentres
from xdeepr.grids.grid import CellValues, Grid
from xdeepr.grids.location import SAME_CELL, Location
from xdeepr.grids.projection import METRES
from xdeepr.grids.sphere import KM_PER_DEGREE, cell_areas, distance


class Degrees(Grid):
    """A grid whose rows are circles of latitude about some pole."""

    circle = 360.0
    unit = "°"

    def counting_step(self, axis: GridAxis) -> float:
        # far from 0 the rounding of a float32 step would add up to whole cells
        return 360 / axis.around if axis.around else axis.step

    def rows_beyond_poles(self) -> tuple[int, int]:
        y, most = self.y.centres, 90 + 1e-3 * self.y.step
        return int((y < -most).sum()), int((y > most).sum())

    def area_weights(self) -> np.ndarray:
        area = np.diff(np.sin(np.deg2rad(self.edges_of(self.y))))
        return area / area.mean()

    def edges_of(self, axis: GridAxis) -> np.ndarray:
        return np.clip(axis.edges, -90, 90) if axis is self.y else axis.edges

    def cell_km(self) -> float:
        return self.y.step * KM_PER_DEGREE


class LatLon(Degrees):
    """Latitude and longitude."""

    kind = "latlon"
    map_labels = ("latitude", "longitude")
    attrs = (LATITUDE, LONGITUDE)
    geographic = True

    @classmethod
    def stated_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        return super().stated_by(y, x) or y.attrs.get("units") in cf.LATITUDE_UNITS

    @classmethod
    def hinted_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        names = {str(c.name).lower() for c in (y, x)}
        return bool(names & {"lat", "latitude", "lon", "longitude"})

    def aspect(self) -> float:
        return float(1 / max(np.cos(np.deg2rad(self.y.centres.mean())), 0.05))

    def cell_centres(self) -> CellCentres | None:
        return None  # the axes say it

    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        return self.y.centres[:, np.newaxis], self.x.centres[np.newaxis, :]


class Rotated(Degrees):
    """Latitude and longitude about another pole, by a grid mapping."""

    kind = "rotated"
    map_labels = ("rotated latitude / °", "rotated longitude / °")
    attrs = (
        {"standard_name": "grid_latitude", "units": "degrees"},
        {"standard_name": "grid_longitude", "units": "degrees"},
    )

    @classmethod
    def stated_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        return super().stated_by(y, x) or {y.name, x.name} == {"rlat", "rlon"}


class Projected(Grid):
    """Coordinates in the plane of a map projection, by a grid mapping."""

    kind = "projected"
    unit = " (units of the coordinates)"
    map_labels = ("projected y / km", "projected x / km")
    attrs = (
        {"standard_name": "projection_y_coordinate", "units": "m"},
        {"standard_name": "projection_x_coordinate", "units": "m"},
    )

    @classmethod
    def hinted_by(cls, y: xr.DataArray, x: xr.DataArray) -> bool:
        return any(c.attrs.get("units") in METRES for c in (y, x))

    def cell_km(self) -> float:
        return self.y.step / self.map_unit

    @property
    def map_unit(self) -> float:
        return 1.0 if self.x.attrs.get("units") == "km" else 1000.0

    def mapped_unit(self) -> float | None:
        return METRES.get(str(self.x.attrs.get("units")))


class Curvilinear(Grid):
    """Rows and columns of cells that are known by 2-D latitude and longitude alone.

    The axes count the cells, times their mean size in km.
    """

    kind = "curvilinear"
    unit = " km"
    map_labels = ("along the columns / km", "along the rows / km")
    attrs = ({"units": "km"}, {"units": "km"})
    rectilinear = False
    size_tolerance = 0.25
    cure = (
        "Regrid the labels so that blocks of HR cells are LR cells, or make the LR data with"
        " xdeepr.coarsen."
    )

    @property
    def cells(self) -> CellCentres:
        """The centres, which a grid of this kind always has."""
        assert self.centres is not None
        return self.centres

    def values(self) -> CellValues:
        latitude, longitude = self.cells.degrees()
        return np.ascontiguousarray(latitude), np.ascontiguousarray(longitude)

    def with_values(self, values: CellValues) -> Curvilinear:
        centres = CellCentres.of(*values, names=self.cells.names, attrs=self.cells.attrs)
        y, x = (
            replace(a, centres=a.step * (np.arange(n) + 0.5))
            for a, n in zip(self.axes, centres.shape, strict=True)
        )
        return replace(self, y=y, x=x, centres=centres)

    def snap(self, values: CellValues) -> Curvilinear:
        if values[0].ndim != 2:
            return self
        whole = self.with_values(values)
        part = whole.locate(self).part()
        return self if part is None else replace(self, centres=whole.cells.cut(*part))

    def variables_of(self, values: CellValues) -> dict[str, xr.DataArray]:
        return self.with_values(values).cells.variables((self.y.name, self.x.name))

    def locate(self, cells: Grid) -> Location:
        assert isinstance(cells, Curvilinear)
        return self.cells.locate(cells.cells)

    def ratios(self, fine: Grid) -> tuple[float, float]:
        """Return them in the middle of the finer grid."""
        assert isinstance(fine, Curvilinear)
        middle = (fine.shape[0] // 2, fine.shape[1] // 2)
        coarse = self.cells.spacing(self.cells.nearest(fine.cells.vectors[middle]))
        y, x = (a / max(b, 1e-9) for a, b in zip(coarse, fine.cells.spacing(middle), strict=True))
        return y, x

    def ratio_tolerance(self, fine: Grid) -> float:
        del fine
        return 0.1  # cells vary in size

    def locate_among_parts(self, fine: Grid, factor: int) -> Location:
        assert isinstance(fine, Curvilinear)
        at = super().locate_among_parts(fine, factor)
        if at.same() or not all(inside.all() for inside in at.inside()):
            return at
        if self._blocks_off(fine, factor, at.first) > SAME_CELL:
            return at
        return replace(at, off=(0 * at.off[0], 0 * at.off[1]))

    def _blocks_off(self, fine: Curvilinear, factor: int, first: tuple[int, int]) -> float:
        """Return how far middles of blocks of fine cells are from cells here, in fine cells.

        Where rows are strongly curved, as near the poles of a grid, the middles say more than
        positions that are interpolated between the cells here.
        """
        cuts = []
        for skipped, size in zip(first, fine.shape, strict=True):
            start = -skipped % factor
            cuts.append((start, (size - start) // factor, (skipped + start) // factor))
        if min(count for _, count, _ in cuts) < 1:
            return np.inf
        parts = [slice(start, start + count * factor) for start, count, _ in cuts]
        wholes = [slice(start, start + count) for _, count, start in cuts]
        middles = fine.cells.cut(parts[0], parts[1]).merge(factor).vectors
        apart = distance(middles, self.cells.cut(wholes[0], wholes[1]).vectors)
        return float(apart.max()) / fine.cells.size

    def area_weights(self) -> np.ndarray:
        areas = cell_areas(self.cells.vectors)
        return areas / areas.mean()

    def cell_km(self) -> float:
        return self.y.step

    def extent(self) -> str:
        pairs = zip(self.cells.names, self.cells.degrees(), strict=True)
        return ", ".join(f"{name} {v.min():g} to {v.max():g}" for name, v in pairs)

    def coordinates(self) -> dict[str, xr.DataArray]:
        return self.variables(None)


KINDS: dict[str, type[Grid]] = {
    "rotated": Rotated,
    "latlon": LatLon,
    "projected": Projected,
    "curvilinear": Curvilinear,
}
"""Name of a kind, as the card of a model has it -> its class, those first that look closest."""
