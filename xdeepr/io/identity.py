"""Which run a half-finished result belongs to, and how two runs differ.

The identity is a nested mapping of plain values. It leaves out what may differ between two starts
of one run: the dates that say when a file was made.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.io.with_dask import roots

RUN = "xdeepr_run"
"""Global attribute of what is written: the digest of the run's identity."""

MARKER = "xdeepr_unfinished"
"""Global attribute of a zarr store that is not finished."""

DATES = frozenset(
    ["history", "date_created", "date_modified", "date_issued", "creation_date", "creation_time"]
)
"""Global attributes that say when a file was made; those of the first start are kept."""

_STAMP = re.compile(r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d[\d:.]*(Z|[+-]\d\d:?\d\d)?\s*", re.MULTILINE)

_PACKING = ("scale_factor", "add_offset", "dtype", "_FillValue", "missing_value")

_CF = frozenset([*_PACKING, "units", "calendar", "coordinates", "grid_mapping"])
"""Encodings of CF; all others say how the input file was laid out, and suit that format only."""


def split_variables(ds: xr.Dataset) -> tuple[list[str], list[str]]:
    """Tell the fields, which are computed in regions, from the rest, which is written first.

    Fields are the data variables of numbers that dask computes. The rest are coordinates, their
    bounds, and variables that are in memory anyway.
    """
    helpers = {
        name
        for variable in ds.variables.values()
        for key in ("bounds", "climatology", "grid_mapping")
        for name in str(variable.attrs.get(key, "")).split()
    }
    fields = [
        str(name)
        for name, variable in ds.data_vars.items()
        if variable.chunks is not None and name not in helpers and variable.dtype.kind in "biuf"
    ]
    return fields, [str(name) for name in ds.variables if name not in fields]


def clean_encodings(ds: xr.Dataset) -> xr.Dataset:
    """Return a shallow copy without the encodings that belong to the layout of another file."""
    ds = ds.copy(deep=False)
    for variable in ds.variables.values():
        kept = {k: v for k, v in variable.encoding.items() if k in _CF}
        variable.encoding = kept
    return ds


def packing(encoding: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a variable's encoding that changes numbers."""
    return {k: encoding[k] for k in _PACKING if k in encoding}


def describe(
    ds: xr.Dataset,
    fields: Iterable[str],
    layout: Mapping[str, Any],
    given: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return the identity of a result; nothing of its `fields` is computed.

    `layout` is how it is written: chunks, encodings, periods, … `given` is what the fields are
    computed from; by default the names that dask gives to the inputs and to the computation, which
    stand for their content.
    """
    fields = list(fields)
    variables = {
        name: {"dimensions": list(v.dims), "type": str(v.dtype), **_plain(v.attrs)}
        for name, v in ((name, ds[name]) for name in fields)
    }
    names = {name: ds[name].data.name for name in fields}
    inputs = {f"the data behind {name!r}": roots(ds[name].data) for name in fields}
    own: dict[str, Any] = {"inputs": inputs, "computation": names}
    if given is not None:
        own = {"inputs": _plain(given), "computation": {}}
    return {
        "sizes": {str(k): v for k, v in ds.sizes.items()},
        "attributes": {str(k): dateless(k, v) for k, v in ds.attrs.items() if k != RUN},
        "coordinates": {str(k): _content(v) for k, v in ds.variables.items() if k not in fields},
        "variables": variables,
        "layout": _plain(layout),
        **own,
    }


def digest(identity: Mapping[str, Any]) -> str:
    """Return a hash of an identity that :func:`describe` made: 16 hexadecimal digits."""
    text = json.dumps(identity, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say in words where two identities differ, the most telling part first.

    For example "xdeepr_seed is 7 there and 8 here", there on disk and here in this run; empty if
    they are equal.
    """
    said = list(_compare("attributes", there, here, "{}"))
    said += _compare("sizes", there, here, "the size of {}")
    said += _compare("coordinates", there, here, "the coordinate {}")
    said += _compare("variables", there, here, "the variable {}")
    if not said:  # these two follow from the ones above
        said += _compare("inputs", there, here, "{}")
    if not said:
        said += _compare("layout", there, here, "{}")
    if not said and there.get("computation") != here.get("computation"):
        said.append("the computation differs (its input, tile, overlap, batch size, chunks, …)")
    return "; ".join(said[:4]) + ("; …" if len(said) > 4 else "")


def content_digest(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file, or of all files of a folder: 16 hexadecimal digits.

    It is the same wherever the file lies and whatever its date.
    """
    path = Path(path)
    total = hashlib.blake2b(digest_size=8)
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as stream:
            one = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
        name = "" if file == path else file.relative_to(path).as_posix()
        total.update(name.encode() + b"\0" + one.digest())
    return total.hexdigest()


def dateless(name: Hashable, value: Any) -> Any:
    """Return a global attribute as it is compared: as JSON keeps it, without dates."""
    if name == "history":
        return _STAMP.sub("", str(value))
    return "a date" if name in DATES else _plain(value)


def _compare(
    part: str, there: Mapping[str, Any], here: Mapping[str, Any], words: str
) -> Iterator[str]:
    """Say for each entry of a part of two identities whether it differs."""
    one, other = there.get(part, {}), here.get(part, {})
    for name in [*one, *(n for n in other if n not in one)]:
        entry = words.format(name if words == "{}" else repr(name))
        if name not in other or name not in one:
            yield f"{entry} is only {'there' if name in one else 'here'}"
        elif one[name] != other[name]:
            yield f"{entry} {_change(part, one[name], other[name])}"


def _change(part: str, there: Any, here: Any) -> str:
    """Say how one entry differs; a hash tells a reader nothing."""
    if part == "coordinates" or isinstance(there, list):  # names with hashes say nothing
        return "changed"
    if isinstance(there, dict) and isinstance(here, dict):
        keys = [k for k in {**there, **here} if there.get(k) != here.get(k)]
        return "differs in " + ", ".join(
            f"{key} ({_short(there.get(key))} there, {_short(here.get(key))} here)" for key in keys
        )
    return f"is {_short(there)} there and {_short(here)} here"


def _short(value: Any) -> str:
    """Return a value in at most 100 characters."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}…"


def _content(variable: xr.Variable) -> str:
    """Return a hash of dimensions, type, values and attributes."""
    values = np.asarray(variable.values)
    if values.dtype.kind in "mM":  # files have other units of time than memory
        values = values.astype(f"{values.dtype.kind}8[ns]")
    raw = values.tobytes() if values.dtype.kind != "O" else repr(values.tolist()).encode()
    head = repr((variable.dims, values.dtype.str, values.shape, _plain(variable.attrs)))
    return hashlib.sha256(head.encode() + raw).hexdigest()[:16]


def _plain(value: Any) -> Any:
    """Return a value as JSON keeps it."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # JSON has no NaN, and it would not equal itself
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
