"""Dimensions beyond time and the horizontal ones: input members, levels, forecast times.

They are kept and looped over: each entry is downscaled by itself. An ensemble of the input and the
realizations drawn from each of its members become one dimension ``realization``.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import xarray as xr

from xdeepr.cf.gridded import Gridded, GridT
from xdeepr.cf.times import is_reference_time

ENSEMBLE_NAMES = ("realization", "number", "member", "ensemble", "ensemble_member", "ens")
"""Names of a dimension of input members, where no standard_name tells."""


def each_entry(
    source: Gridded[GridT],
    one: Callable[[Gridded[GridT]], xr.Dataset],
    *,
    fields: Sequence[str],
    with_members: bool,
) -> xr.Dataset:
    """Apply a function to each entry along further dimensions and join the results, lazily.

    The result has the further dimensions in front. `with_members` says that results have a
    dimension ``realization`` of their own; an ensemble of the input is then joined with it, to
    N · M realizations. What a result holds besides `fields` is taken from the first.
    """
    if not source.further:
        return one(source)
    dim, ds = source.further[0], source.dataset
    if dim not in ds.coords:
        ds = ds.assign_coords({dim: np.arange(ds.sizes[dim])})
    source = source.with_dataset(ds)
    parts = [
        each_entry(source.isel({dim: i}), one, fields=fields, with_members=with_members)
        for i in range(ds.sizes[dim])
    ]
    if with_members and is_ensemble(ds[dim]):
        return _join_members(parts, ds[dim], fields)
    return _join(parts, dim, fields)


def is_ensemble(coord: xr.DataArray) -> bool:
    """Whether a coordinate counts the members of an ensemble."""
    named = str(coord.name).lower() in ENSEMBLE_NAMES
    return coord.attrs.get("standard_name", "realization" if named else "") == "realization"


def _join(parts: Sequence[xr.Dataset], dim: str, fields: Sequence[str]) -> xr.Dataset:
    """Join results along one dimension; what does not vary is taken from the first."""
    joined = xr.concat(
        [part[list(fields)] for part in parts],
        dim,
        data_vars="all",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    others = [name for name in parts[0].data_vars if name not in fields]
    return joined.assign(parts[0][others].drop_vars(dim, errors="ignore").data_vars)


def _join_members(
    parts: Sequence[xr.Dataset], coord: xr.DataArray, fields: Sequence[str]
) -> xr.Dataset:
    """Join input members and the realizations drawn from each into one ensemble."""
    drawn = parts[0].sizes["realization"]
    attrs = parts[0]["realization"].attrs
    numbered = []
    for number, part in enumerate(parts):
        label = coord.values[number]
        part = part.drop_vars(str(coord.name), errors="ignore")
        index = np.arange(number * drawn, (number + 1) * drawn, dtype=np.int32)
        numbered.append(
            part.assign_coords(
                realization=("realization", index, attrs),
                input_realization=(
                    "realization",
                    np.full(drawn, label),
                    {"long_name": "ensemble member of the input"},
                ),
                drawn_realization=(
                    "realization",
                    np.arange(drawn, dtype=np.int32),
                    {"long_name": "realization drawn from this member of the input"},
                ),
            )
        )
    return _join(numbered, "realization", fields)


def entry_key(ds: xr.Dataset) -> int:
    """Return a number for the input member and the forecast that scalar coordinates name.

    The noise is keyed with it, so that different members of the input do not share their noise,
    and one of them alone gets what it gets among all. It is 0 where neither is known, and for the
    first member, as a file of a single member has it.
    """
    known = list(_entry_numbers(ds))
    if not known:
        return 0
    packed = b"".join(struct.pack("<2q", kind, value) for kind, value in known)
    return int.from_bytes(hashlib.blake2b(packed, digest_size=8).digest(), "little", signed=True)


def _entry_numbers(ds: xr.Dataset) -> Iterator[tuple[int, int]]:
    """Yield (kind, number) of the input member and of the forecast's start."""
    for name, coord in sorted(ds.coords.items(), key=lambda item: str(item[0])):
        if coord.ndim:
            continue
        if is_ensemble(coord) and np.issubdtype(coord.dtype, np.number):
            if int(coord) != 0:
                yield 0, int(coord)
        elif is_reference_time(coord, str(name)) and np.issubdtype(coord.dtype, np.datetime64):
            yield 1, int(coord.values.astype("datetime64[s]").astype(np.int64))


def keyed_with(keys: np.ndarray, entry: int) -> np.ndarray:
    """Return time keys (time,), int64, that depend on :func:`entry_key` too; unchanged for 0."""
    if not entry:
        return keys
    mixed = [
        hashlib.blake2b(struct.pack("<2q", int(key), entry), digest_size=8).digest() for key in keys
    ]
    return np.frombuffer(b"".join(mixed), dtype="<i8").astype(np.int64)
