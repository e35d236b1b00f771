"""The one door into zarr, and into the way in which xarray writes to it.

`tests/io/test_zarr_private.py` holds what is relied on here.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xdeepr.errors import DataUnavailableError

METADATA = "zarr.json"
"""File that makes a folder a zarr store."""

FORMAT_2 = ".zgroup"
"""Its counterpart in format 2, which is read but not written."""


def need_zarr() -> None:
    """Say how to install zarr where it is missing."""
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise DataUnavailableError(
            "zarr is not installed: pip install 'xdeepr[zarr]', or write netCDF."
        ) from error


def to_zarr(ds: xr.Dataset, path: Path, **options: Any) -> None:
    """Write a store with consolidated metadata.

    zarr warns that other implementations may not read these; they read the metadata of each
    array instead. Without them xarray warns every reader.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Consolidated metadata")
        ds.to_zarr(path, consolidated=True, **options)


def packed(variable: xr.Variable, name: str) -> np.ndarray:
    """Return values as a zarr array holds them, packed as the variable's encoding says."""
    from xarray.backends.zarr import encode_zarr_variable

    return np.asarray(encode_zarr_variable(variable, name=name).values)


@lru_cache(maxsize=64)
def open_array(store: str, name: str, session: str) -> Any:
    """Return an array; chunks that hold the fill value only are written like all others."""
    import zarr

    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(store, path=name, mode="r+")


def files_of_chunks(
    store: str, name: str, unit: tuple[int, ...], place: tuple[slice, ...]
) -> Iterator[Path]:
    """Return the files of a part of an array; `unit` is the shape of what lies in one file."""
    spans = (
        range(s.start // size, -(-s.stop // size)) for s, size in zip(place, unit, strict=True)
    )
    for index in product(*spans):
        yield Path(store, name, "c", *map(str, index))


def attributes(path: Path) -> dict[str, Any]:
    """Return the global attributes of a store without opening it; empty where there are none."""
    try:
        content = json.loads((path / METADATA).read_text()).get("attributes")
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(content or {})


def without_attribute(path: Path, name: str) -> str:
    """Return the text of a store's metadata without one of the global attributes."""
    content: Mapping[str, Any] = json.loads((path / METADATA).read_text())
    kept = {k: v for k, v in content["attributes"].items() if k != name}
    return json.dumps({**content, "attributes": kept}, indent=2)
