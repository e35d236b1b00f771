"""Prepare a result for being written in parts: its fields, and where their blocks end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask.array as da
import xarray as xr

from xdeepr import cf
from xdeepr.errors import OptionError
from xdeepr.io.identity import clean_encodings, split_variables
from xdeepr.io.regions import Field


def loaded(ds: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """Return a dataset with all but the fields in memory, and the names of the fields."""
    fields, rest = split_variables(ds)
    small = ds[[name for name in rest if ds[name].chunks is not None]].compute()
    coords = {n: small[n].variable for n in small.coords if n in rest and ds[n].chunks}
    others = {n: small[n].variable for n in small.data_vars}
    return clean_encodings(ds.assign_coords(coords).assign(others)), fields


def check_encoding(ds: xr.Dataset, encoding: Mapping[str, Any]) -> None:
    """Refuse encodings of variables that are not there."""
    unknown = sorted(set(encoding) - set(map(str, ds.variables)))
    if unknown:
        names = ", ".join(map(str, ds.variables))
        raise OptionError(f"encoding: there is no variable {unknown[0]!r}, only {names}.")


def aligned(
    ds: xr.Dataset, names: Sequence[str], units: Mapping[str, tuple[int, ...]]
) -> list[Field]:
    """Return fields in blocks that cover whole files; `units` are the shapes of one file's part."""
    fields = []
    for name in names:
        array = ds[name].data
        uneven = {
            axis: unit
            for axis, (sizes, unit) in enumerate(zip(array.chunks, units[name], strict=True))
            if any(size % unit for size in sizes[:-1])
        }
        dims = tuple(map(str, ds[name].dims))
        fields.append(Field(name, dims, array.rechunk(uneven), array.chunks))
    return fields


def time_dims(ds: xr.Dataset) -> list[str]:
    """Return the dimensions of time."""
    return [str(d) for d in ds.dims if d in ds.coords and cf.holds_times(ds[d])]


def blank(ds: xr.Dataset, fields: Sequence[Field]) -> xr.Dataset:
    """Return a dataset with nothing in its fields, to write metadata from."""
    zeros = {
        f.name: ds[f.name].variable.copy(
            data=da.zeros(f.array.shape, dtype=f.array.dtype, chunks=-1)
        )
        for f in fields
    }
    return ds.assign(zeros)
