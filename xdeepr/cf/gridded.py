"""A dataset and what it says of its cells, found out once at the door of a verb."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import xarray as xr

from xdeepr.cf.axes import Axes
from xdeepr.cf.times import at_valid_times, valid_time
from xdeepr.cf.variables import select_variable, spatial_variables, without_bounds
from xdeepr.errors import OptionError

GridT = TypeVar("GridT")


@dataclass(frozen=True, eq=False)
class Gridded(Generic[GridT]):
    """A dataset with its axes, its grid, its fields and their valid time.

    Each verb makes one of each object that it is given (:func:`xdeepr.grids.gridded`) and passes
    it on, so that nobody looks for axes twice. This floor does not know grids: the type of `grid`
    is left open.

    Parameters
    ----------
    dataset : xarray.Dataset
        The data.
    grid : object
        Where its cells lie.
    given : xarray.Dataset or xarray.DataArray
        The object as the user gave it, whose kind the verb returns.
    """

    dataset: xr.Dataset
    axes: Axes
    grid: GridT
    given: xr.Dataset | xr.DataArray

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Names of the variables with both horizontal dimensions."""
        return tuple(spatial_variables(self.dataset, self.axes))

    @cached_property
    def time(self) -> xr.DataArray | None:
        """When the fields are valid: shape (time,), or () for a single field."""
        return valid_time(self.dataset, self.axes.time)

    @cached_property
    def further(self) -> tuple[str, ...]:
        """Dimensions of the fields beyond time, y and x, in their order: members, levels, ..."""
        known = {self.axes.y, self.axes.x, self.axes.time}
        dims = (str(d) for name in self.fields for d in self.dataset[name].dims)
        return tuple(dict.fromkeys(d for d in dims if d not in known))

    def variable(
        self,
        name: str | None = None,
        standard_name: str | None = None,
        *,
        role: str = "predictor",
    ) -> str:
        """Return the name of the field that is meant; see :func:`xdeepr.cf.select_variable`."""
        return select_variable(
            self.dataset, self.fields, name=name, standard_name=standard_name, role=role
        )

    def with_dataset(self, dataset: xr.Dataset) -> Gridded[GridT]:
        """Return other data on the same cells; they may have lost the dimension of time."""
        time = self.axes.time if self.axes.time in dataset.dims else None
        return replace(self, dataset=dataset, axes=replace(self.axes, time=time))

    def isel(self, positions: Mapping[str, int | slice]) -> Gridded[GridT]:
        """Return some entries along time or further dimensions, by position."""
        return self.with_dataset(self.dataset.isel(positions))

    def at_valid_times(self) -> Gridded[GridT]:
        """Return the data with their valid times as the coordinate along time."""
        return self.with_dataset(at_valid_times(self.dataset, self.axes.time))

    def as_given(self) -> xr.Dataset | xr.DataArray:
        """Return the data as the kind of object that the user gave.

        A DataArray is the only field under the name it was given with. Its grid mapping is a
        coordinate; it cannot hold bounds, so its coordinates name none.
        """
        if isinstance(self.given, xr.Dataset):
            return self.dataset
        if len(self.fields) > 1:
            raise OptionError(
                f"the model makes {' and '.join(self.fields)}, which one DataArray cannot hold:"
                " give a Dataset, for example da.to_dataset()."
            )
        return without_bounds(self.dataset, self.fields[0]).rename(self.given.name)
