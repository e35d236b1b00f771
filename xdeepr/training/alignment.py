"""Bring predictors and labels together: variables, units, grids, times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from xdeepr import cf
from xdeepr.errors import AxisError, OptionError, VariableError
from xdeepr.grids import Grid, Margin, relate
from xdeepr.inputs.missing import filled, under_gaps
from xdeepr.inputs.quantities import Quantity, describe, stack_fields

XarrayObject = xr.Dataset | xr.DataArray


@dataclass(frozen=True)
class Aligned:
    """Predictors and labels at the times they share.

    Parameters
    ----------
    lr, hr : xarray.DataArray
        float32, dims (time, channel, y, x), ascending.
    base : tuple of int or None
        For each predictand, the predictor that is its coarse version; None: there is none.
    source : Gridded
        The predictors that `lr` was stacked from. Entries along dimensions beyond time, y and x
        stand one behind the other at each time.
    """

    lr: xr.DataArray
    hr: xr.DataArray
    time: xr.DataArray
    predictors: tuple[Quantity, ...]
    predictands: tuple[Quantity, ...]
    base: tuple[int | None, ...]
    source: cf.Gridded[Grid]
    hr_grid: Grid
    factor: int
    margin: Margin

    @property
    def lr_grid(self) -> Grid:
        """Where the predictors lie."""
        return self.source.grid

    def at(self, times: slice) -> Aligned:
        """Return a part of the period."""
        lr, hr, time = (a.isel({a.dims[0]: times}) for a in (self.lr, self.hr, self.time))
        return replace(self, lr=lr, hr=hr, time=time)


def align(
    predictors: cf.Gridded[Grid], labels: cf.Gridded[Grid], variables: Sequence[str] | None = None
) -> Aligned:
    """Bring predictors and the labels to learn together; nothing is computed."""
    factor, margin = relate(predictors.grid, labels.grid)
    source, labels = share_entries(*share_times(predictors, labels))
    names = _label_names(labels, variables)
    predictands = tuple(describe(labels.dataset[name]) for name in names)
    inputs, base = _match_predictors(source, predictands)
    dims = source.further
    lr = stack_entries(source, dims, inputs, role="predictor")
    hr = stack_entries(labels, dims, predictands, role="label")
    return Aligned(
        lr, hr, _entry_times(labels, dims), inputs, predictands, base, source, labels.grid, factor,
        margin,
    )  # fmt: skip


def without_missing(aligned: Aligned) -> Aligned:
    """Fill missing predictors, and leave out (as NaN) the labels that lie under them; lazy."""
    lr = aligned.lr
    under_gap = under_gaps(lr.data, aligned.factor, aligned.margin)[:, 0]
    under = xr.DataArray(under_gap, dims=[d for d in aligned.hr.dims if d != "channel"])
    hr = aligned.hr.where(~under).transpose(*aligned.hr.dims)
    return replace(aligned, lr=lr.copy(data=filled(lr.data)), hr=hr)


def share_entries(
    lr: cf.Gridded[Grid], hr: cf.Gridded[Grid]
) -> tuple[cf.Gridded[Grid], cf.Gridded[Grid]]:
    """Return predictors and labels at the entries they share along further dimensions."""
    if odd := sorted(set(lr.further) ^ set(hr.further)):
        raise AxisError(
            f"only one of predictors and labels has the dimension {odd[0]!r}: give it to both, or"
            f" select one entry, for example ds.isel({odd[0]}=0)."
        )
    for dim in lr.further:
        ours, theirs = (part.dataset.indexes.get(dim) for part in (lr, hr))
        if ours is not None and theirs is not None and not ours.equals(theirs):
            if not (ours.is_unique and theirs.is_unique):
                raise AxisError(
                    f"predictors and labels differ along {dim!r}, which holds values more than"
                    f" once: ds.drop_duplicates({dim!r})."
                )
            shared = ours.intersection(theirs)
            lr, hr = (part.with_dataset(part.dataset.sel({dim: shared})) for part in (lr, hr))
        size, other = (part.dataset.sizes[dim] for part in (lr, hr))
        if size != other or size == 0:
            raise AxisError(
                f"predictors and labels do not share the entries along {dim!r}: give both the"
                " same ones, under the same coordinate values."
            )
    return lr, hr


def _entries(source: cf.Gridded[Grid], dims: Sequence[str]) -> list[cf.Gridded[Grid]]:
    """Return the entries along further dimensions."""
    sizes = (source.dataset.sizes[dim] for dim in dims)
    return [source.isel(dict(zip(dims, index, strict=True))) for index in np.ndindex(*sizes)]


def stack_entries(
    source: cf.Gridded[Grid], dims: Sequence[str], quantities: Sequence[Quantity], *, role: str
) -> xr.DataArray:
    """Stack fields as :func:`stack_fields` does, shape (time · entry, channel, y, x).

    The entries along `dims`, dimensions beyond time, y and x, stand one behind the other at each
    time.
    """
    if not dims:
        return stack_fields(source, quantities, role=role)
    stacked = [stack_fields(entry, quantities, role=role) for entry in _entries(source, dims)]
    together = xr.Variable.concat([s.variable for s in stacked], dim="entry")
    data = together.transpose(stacked[0].dims[0], "entry", ...).data
    return xr.DataArray(data.reshape(-1, *data.shape[2:]), dims=stacked[0].dims)


def _entry_times(source: cf.Gridded[Grid], dims: Sequence[str]) -> xr.DataArray:
    """Return the valid times of all entries, in the order of :func:`stack_entries`."""
    times = [np.asarray(entry.time) for entry in _entries(source, dims)]
    values, dim = np.stack(times, axis=1).ravel(), source.axes.time
    return xr.DataArray(values, coords={dim: values}, dims=[dim])


def share_times(
    lr: cf.Gridded[Grid], hr: cf.Gridded[Grid]
) -> tuple[cf.Gridded[Grid], cf.Gridded[Grid]]:
    """Return predictors and labels at the valid times that they share."""
    lr, hr = (_at_valid_times(part, role) for part, role in ((lr, "predictors"), (hr, "labels")))
    ours, theirs = (part.dataset.indexes[str(part.axes.time)] for part in (lr, hr))
    same_kind = type(ours) is type(theirs)
    shared = ours.intersection(theirs) if same_kind else ours[:0]
    if shared.size == 0:
        raise AxisError(
            f"predictors ({ours[0]} to {ours[-1]}) and labels ({theirs[0]} to {theirs[-1]}) share"
            f" no time{'' if same_kind else ' because their calendars differ'}: select the same"
            " period and the same hours, or convert one with ds.convert_calendar."
        )
    lr, hr = (part.with_dataset(part.dataset.sel({part.axes.time: shared})) for part in (lr, hr))
    return lr, hr


def _at_valid_times(source: cf.Gridded[Grid], role: str) -> cf.Gridded[Grid]:
    """Return data along their valid times, which have to ascend."""
    if source.axes.time is None:
        raise AxisError(
            f"the {role} have no time dimension: training needs fields at several times;"
            " add one with ds.expand_dims if a single field is meant."
        )
    source = source.at_valid_times()
    cf.check_time(source.dataset, source.axes.time)
    return source


def _label_names(labels: cf.Gridded[Grid], variables: Sequence[str] | None) -> list[str]:
    """Return the names of the labels to learn."""
    if variables is None:
        return [labels.variable(role="label")]
    if isinstance(variables, str) or not variables:
        raise OptionError(f"variables={variables!r}: give a list of names, for example ['t2m'].")
    missing = sorted(set(variables) - set(map(str, labels.dataset.data_vars)))
    if missing:
        raise VariableError(
            f"variables: the labels hold no {missing[0]!r}. They hold {', '.join(labels.fields)}."
        )
    return list(variables)


def _match_predictors(
    source: cf.Gridded[Grid], predictands: Sequence[Quantity]
) -> tuple[tuple[Quantity, ...], tuple[int | None, ...]]:
    """Find the coarse version of each predictand; it is read in the predictand's units.

    All other fields are predictors too.
    """
    if not source.fields:
        raise VariableError("the predictors hold no variable with both horizontal dimensions.")
    base: list[int | None] = []
    for quantity in predictands:
        try:
            name = source.variable(quantity.name, quantity.standard_name)
        except VariableError:  # none, or more than one could be meant
            base.append(None)
        else:
            base.append(source.fields.index(name))
    inputs = []
    for number, name in enumerate(source.fields):
        described = describe(source.dataset[name])
        if number in base:
            described = replace(described, units=predictands[base.index(number)].units)
        inputs.append(described)
    return tuple(inputs), tuple(base)


def listed(quantities: Sequence[Quantity]) -> str:
    """Return names and units, as errors say them."""
    return ", ".join(f"{q.name} [{q.units}]" for q in quantities)
