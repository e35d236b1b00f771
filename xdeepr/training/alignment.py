"""Bring predictors and labels together: variables, units, grids, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.cf.dimensions import further_dims
from xdeepr.errors import AxisError, OptionError, VariableError
from xdeepr.grids import Grid, Margin, grid_of, relate
from xdeepr.inputs.missing import filled, refined
from xdeepr.inputs.quantities import Quantity, describe, stack_fields

XarrayObject = xr.Dataset | xr.DataArray


@dataclass(frozen=True)
class Aligned:
    """Predictors and labels at the times they share.

    Parameters
    ----------
    lr, hr : xarray.DataArray
        float32, dims (time, channel, y, x), ascending.
    time : xarray.DataArray
        The times.
    predictors, predictands : tuple of Quantity
        What the channels are.
    base : tuple of int or None
        For each predictand, the predictor that is its coarse version; None: there is none.
    lr_grid, hr_grid : Grid
        The grids.
    factor, margin
        How they nest.
    further : tuple of str
        Dimensions beyond time and the horizontal ones, whose entries stand one behind the other
        at each time.
    """

    lr: xr.DataArray
    hr: xr.DataArray
    time: xr.DataArray
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    base: tuple[int | None, ...]
    lr_grid: Grid
    hr_grid: Grid
    factor: int
    margin: Margin
    further: tuple[str, ...] = ()

    def at(self, times: slice) -> Aligned:
        """Return a part of the period."""
        dim = self.time.dims[0]
        return replace(
            self,
            lr=self.lr.isel({self.lr.dims[0]: times}),
            hr=self.hr.isel({self.hr.dims[0]: times}),
            time=self.time.isel({dim: times}),
        )


def align(
    predictors: XarrayObject, labels: XarrayObject, variables: Sequence[str] | None = None
) -> Aligned:
    """Bring predictors and labels together; nothing is computed.

    Parameters
    ----------
    predictors, labels : xarray.Dataset or xarray.DataArray
        As given to :func:`xdeepr.fit`.
    variables : sequence of str, optional
        Labels to learn.

    Returns
    -------
    Aligned

    Raises
    ------
    AxisError
        If an axis is missing or no time is shared.
    VariableError
        If it is not clear which variables are meant.
    GridError
        If the grids do not nest.
    """
    lr_ds, hr_ds = cf.as_dataset(predictors), cf.as_dataset(labels)
    lr_grid, hr_grid = grid_of(lr_ds), grid_of(hr_ds)
    factor, margin = relate(lr_grid, hr_grid)
    lr_ds, hr_ds, time = share_times(lr_ds, hr_ds)
    lr_ds, hr_ds, further = share_entries(lr_ds, hr_ds)
    predictands = tuple(describe(hr_ds[name]) for name in _label_names(hr_ds, variables))
    inputs, base = _match_predictors(lr_ds, predictands)
    lr = stack_entries(lr_ds, further, inputs, role="predictor")
    hr = stack_entries(hr_ds, further, predictands, role="label")
    time = time.isel({time.dims[0]: np.repeat(np.arange(time.size), hr.shape[0] // time.size)})
    return Aligned(
        lr, hr, time, inputs, predictands, base, lr_grid, hr_grid, factor, margin, further
    )


def without_missing(aligned: Aligned) -> Aligned:
    """Fill missing predictors, and leave out the labels that lie under them; lazy.

    Parameters
    ----------
    aligned : Aligned
        Predictors and labels, either with missing values.

    Returns
    -------
    Aligned
        Labels are NaN where they, or the predictors above them, were missing.
    """
    lr = aligned.lr
    gaps = refined(lr.isnull().any("channel").data, aligned.factor, aligned.margin)
    under = xr.DataArray(gaps, dims=[d for d in aligned.hr.dims if d != "channel"])
    hr = aligned.hr.where(~under).transpose(*aligned.hr.dims)
    return replace(aligned, lr=lr.copy(data=filled(lr.data)), hr=hr)


def share_entries(lr: xr.Dataset, hr: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, tuple[str, ...]]:
    """Return both datasets at the entries they share along further dimensions, and these.

    Raises
    ------
    AxisError
        If one has a dimension that the other has not, or they share no entry.
    """
    dims, others = (further_dims(ds, cf.find_axes(ds)) for ds in (lr, hr))
    if set(dims) != set(others):
        odd = sorted(set(dims) ^ set(others))[0]
        raise AxisError(
            f"only one of predictors and labels has the dimension {odd!r}: give it to both, or"
            f" select one entry, for example ds.isel({odd}=0)."
        )
    for dim in dims:
        ours, theirs = (ds.indexes.get(dim) for ds in (lr, hr))
        if ours is not None and theirs is not None and not ours.equals(theirs):
            if not (ours.is_unique and theirs.is_unique):
                raise AxisError(
                    f"predictors and labels differ along {dim!r}, which holds values more than"
                    f" once: ds.drop_duplicates({dim!r})."
                )
            shared = ours.intersection(theirs)
            lr, hr = lr.sel({dim: shared}), hr.sel({dim: shared})
        if lr.sizes[dim] != hr.sizes[dim] or lr.sizes[dim] == 0:
            raise AxisError(
                f"predictors and labels do not share the entries along {dim!r}: give both the"
                " same ones, under the same coordinate values."
            )
    return lr, hr, dims


def stack_entries(
    ds: xr.Dataset, dims: Sequence[str], quantities: Sequence[Quantity], *, role: str
) -> xr.DataArray:
    """Stack fields as :func:`stack_fields` does, the entries of each time one behind the other.

    Parameters
    ----------
    ds : xarray.Dataset
        Holds the fields.
    dims : sequence of str
        Further dimensions.
    quantities, role
        As for :func:`~xdeepr.inputs.quantities.stack_fields`.

    Returns
    -------
    xarray.DataArray
        Shape (time · entry, channel, y, x).
    """
    if not dims:
        return stack_fields(ds, quantities, role=role)
    entries = [
        ds.isel(dict(zip(dims, index, strict=True)))
        for index in np.ndindex(*(ds.sizes[dim] for dim in dims))
    ]
    stacked = [stack_fields(entry, quantities, role=role) for entry in entries]
    together = xr.Variable.concat([s.variable for s in stacked], dim="entry")
    data = together.transpose(stacked[0].dims[0], "entry", ...).data
    return xr.DataArray(data.reshape(-1, *data.shape[2:]), dims=stacked[0].dims)


def share_times(lr: xr.Dataset, hr: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, xr.DataArray]:
    """Return both datasets at the times they share, and the times.

    Raises
    ------
    AxisError
        If one has no time dimension, or they share no time.
    """
    dims, pair = [], []
    for ds, role in ((lr, "predictors"), (hr, "labels")):
        axes = cf.find_axes(ds)
        if axes.time is None:
            raise AxisError(
                f"the {role} have no time dimension: training needs fields at several times;"
                " add one with ds.expand_dims if a single field is meant."
            )
        pair.append(cf.at_valid_times(ds, axes.time))
        cf.check_time(pair[-1], axes.time)
        dims.append(axes.time)
    lr, hr = pair
    ours, theirs = lr.indexes[dims[0]], hr.indexes[dims[1]]
    same_kind = type(ours) is type(theirs)
    shared = ours.intersection(theirs) if same_kind else ours[:0]
    if shared.size == 0:
        raise AxisError(
            f"predictors ({ours[0]} to {ours[-1]}) and labels ({theirs[0]} to {theirs[-1]}) share"
            f" no time{'' if same_kind else ' because their calendars differ'}: select the same"
            " period and the same hours, or convert one with ds.convert_calendar."
        )
    lr, hr = lr.sel({dims[0]: shared}), hr.sel({dims[1]: shared})
    return lr, hr, hr[dims[1]]


def _label_names(ds: xr.Dataset, variables: Sequence[str] | None) -> list[str]:
    """Return the names of the labels to learn."""
    if variables is None:
        return [cf.select_variable(ds, role="label")]
    if isinstance(variables, str) or not variables:
        raise OptionError(f"variables={variables!r}: give a list of names, for example ['t2m'].")
    missing = sorted(set(variables) - set(map(str, ds.data_vars)))
    if missing:
        raise VariableError(
            f"variables: the labels hold no {missing[0]!r}. They hold"
            f" {', '.join(cf.spatial_variables(ds, cf.find_axes(ds)))}."
        )
    return list(variables)


def _match_predictors(
    ds: xr.Dataset, predictands: Sequence[Quantity]
) -> tuple[tuple[Quantity, ...], tuple[int | None, ...]]:
    """Find the coarse version of each predictand; it is read in the predictand's units.

    All other spatial variables of the dataset are predictors too.
    """
    names = cf.spatial_variables(ds, cf.find_axes(ds))
    if not names:
        raise VariableError("the predictors hold no variable with both horizontal dimensions.")
    base: list[int | None] = []
    for quantity in predictands:
        try:
            name = cf.select_variable(ds, name=quantity.name, standard_name=quantity.standard_name)
        except VariableError:  # none, or more than one could be meant
            base.append(None)
        else:
            base.append(names.index(name))
    inputs = []
    for number, name in enumerate(names):
        described = describe(ds[name])
        if number in base:
            described = replace(described, units=predictands[base.index(number)].units)
        inputs.append(described)
    return tuple(inputs), tuple(base)


def listed(quantities: Sequence[Quantity]) -> str:
    """Return names and units, as errors say them."""
    return ", ".join(f"{q.name} [{q.units}]" for q in quantities)
