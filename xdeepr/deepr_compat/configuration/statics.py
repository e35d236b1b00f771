"""Land–sea masks and orographies of a configuration, brought onto one grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from xdeepr.deepr_compat.configuration.data import DataConfiguration
from xdeepr.deepr_compat.configuration.files import open_static
from xdeepr.errors import GridError, OptionError
from xdeepr.grids import Grid, grid_of, relate
from xdeepr.inputs.covariates import covariates_on, describe_covariates
from xdeepr.inputs.quantities import Quantity


def statics_on(
    configuration: DataConfiguration, wanted: Sequence[str], lr: xr.Dataset, hr: xr.Dataset
) -> xr.Dataset | None:
    """Open static fields and bring them onto HR cells.

    Parameters
    ----------
    configuration : DataConfiguration
        Says where they are.
    wanted : sequence of str
        Names of the keys of `add_auxiliary`: "lsm-high", "orog-low", … The coarse ones are
        interpolated and get the ending ``_low``.
    lr, hr : xarray.Dataset
        The fields.

    Returns
    -------
    xarray.Dataset or None
        On the HR cells of the whole LR domain if all fields cover it (some normalizations need
        that), otherwise on the HR domain. None for none.

    Raises
    ------
    OptionError
        If it is not said where a field is.
    GridError
        If a field does not cover the HR domain.
    """
    if not wanted:
        return None
    fields = [_static(configuration, name) for name in wanted]
    lr_grid, hr_grid = grid_of(lr), grid_of(hr)
    factor, _ = relate(lr_grid, hr_grid)
    wide = lr_grid.refine(factor)
    try:
        return _dataset(wide, fields)
    except GridError:
        return _dataset(hr_grid, fields)


def _static(configuration: DataConfiguration, name: str) -> xr.DataArray:
    """Open one field, under the name it is to have."""
    kind, resolution = name.split("-")
    role = "features_configuration" if resolution == "low" else "label_configuration"
    key = "land_mask_location" if kind == "lsm" else "orography_location"
    section = getattr(configuration, role)
    location = None if section is None else getattr(section, key)
    if location is None:
        raise OptionError(
            f"data_configuration.features_configuration.add_auxiliary.{name} is asked for, but"
            f" {role}.{key} does not say where it is."
        )
    field = open_static(location, key)
    return field if resolution == "high" else field.rename(f"{field.name}_low")


def _dataset(grid: Grid, fields: Sequence[xr.DataArray]) -> xr.Dataset:
    """Return the fields on a grid, with its coordinates and projection."""
    dims = (grid.y.name, grid.x.name)
    coords = {axis.name: (axis.name, axis.known(), dict(axis.attrs)) for axis in (grid.y, grid.x)}
    out = xr.Dataset(coords=coords)
    for field in fields:
        quantity, values = _on(grid, field)
        out[str(field.name)] = (dims, values, {**quantity.attrs, "units": quantity.units})
        if grid.mapping is not None:
            out[str(field.name)].attrs["grid_mapping"] = grid.mapping[0]
    if grid.mapping is not None:
        out[grid.mapping[0]] = ((), 0, grid.mapping[1])
    return out


def _on(grid: Grid, field: xr.DataArray) -> tuple[Quantity, np.ndarray]:
    """Return what a field is, and its values (y, x) on a grid, ascending."""
    ds = field.to_dataset()
    (quantity,), _ = describe_covariates(ds)
    return quantity, covariates_on(grid, ds, (quantity,))[0]
