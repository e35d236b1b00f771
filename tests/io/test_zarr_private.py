"""What we rely on inside zarr, and in xarray's way of writing to it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xdeepr.io import with_zarr
from xdeepr.io.targets import PARTIAL


@pytest.fixture
def ds(rng: np.random.Generator) -> xr.Dataset:
    values = rng.normal(280, 5, (4, 6)).astype("f4")
    return xr.Dataset({"t": (("y", "x"), values, {"units": "K"})}, attrs={"title": "a", "run": 1})


@pytest.fixture
def store(ds: xr.Dataset, tmp_path: Path) -> Path:
    path = tmp_path / "out.zarr"
    with_zarr.to_zarr(ds, path, encoding={"t": {"chunks": (2, 3)}})
    return path


def test_a_store_is_told_by_its_metadata_and_read_without_a_warning(
    ds: xr.Dataset, store: Path
) -> None:
    assert (store / with_zarr.METADATA).is_file()
    assert not (store / with_zarr.FORMAT_2).exists()
    assert "consolidated_metadata" in json.loads((store / with_zarr.METADATA).read_text())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xr.testing.assert_identical(xr.open_zarr(store).load(), ds)


def test_each_chunk_is_a_file_of_its_own(store: Path) -> None:
    whole = (slice(0, 4), slice(0, 6))
    files = set(with_zarr.files_of_chunks(str(store), "t", (2, 3), whole))
    assert files == {file for file in (store / "t").rglob("*") if file.name != "zarr.json"
                     and file.is_file()}  # fmt: skip
    part = with_zarr.files_of_chunks(str(store), "t", (2, 3), (slice(2, 4), slice(0, 3)))
    assert [file.relative_to(store).as_posix() for file in part] == ["t/c/1/0"]


def test_each_shard_is_a_file_of_its_own(ds: xr.Dataset, tmp_path: Path) -> None:
    path = tmp_path / "out.zarr"
    with_zarr.to_zarr(ds, path, encoding={"t": {"chunks": (1, 3), "shards": (2, 6)}})
    whole = (slice(0, 4), slice(0, 6))
    files = list(with_zarr.files_of_chunks(str(path), "t", (2, 6), whole))
    assert len(files) == 2
    assert all(file.is_file() for file in files)


@pytest.mark.parametrize("encoding", [
    {"dtype": "int16", "scale_factor": 0.01, "add_offset": 273.0, "_FillValue": -1},
    {"dtype": "float64"},
])  # fmt: skip
def test_packed_blocks_are_what_xarray_writes(
    ds: xr.Dataset, tmp_path: Path, encoding: dict
) -> None:
    path = tmp_path / "out.zarr"
    with_zarr.to_zarr(ds, path, encoding={"t": {**encoding, "chunks": (2, 3)}})
    before = {file: file.read_bytes() for file in (path / "t" / "c").rglob("*") if file.is_file()}
    block = ds.t.variable[:2, 3:].copy()
    block.encoding = encoding
    with_zarr.open_array(str(path), "t", "run")[:2, 3:] = with_zarr.packed(block, "t")
    assert {file: file.read_bytes() for file in before} == before


def test_chunks_of_fill_values_are_files_too(store: Path) -> None:
    array = with_zarr.open_array(str(store), "t", "run")
    array[:2, :3] = np.full((2, 3), array.fill_value, "f4")
    (file,) = with_zarr.files_of_chunks(str(store), "t", (2, 3), (slice(0, 2), slice(0, 3)))
    assert file.is_file()


def test_an_array_is_opened_once_for_each_session(store: Path) -> None:
    first = with_zarr.open_array(str(store), "t", "one")
    assert with_zarr.open_array(str(store), "t", "one") is first
    assert with_zarr.open_array(str(store), "t", "two") is not first


def test_zarr_writes_under_another_name_first(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process leaves has the ending that we remove when a run goes on."""
    import os

    seen = []
    plain = os.replace

    def replace(source: object, target: object, **options: object) -> None:
        seen.append((Path(str(source)), Path(str(target))))
        plain(source, target, **options)

    monkeypatch.setattr(os, "replace", replace)
    with_zarr.open_array(str(store), "t", "run")[:2, :3] = 1
    ((source, target),) = seen
    assert source.name.endswith(PARTIAL)
    assert target == store / "t/c/0/0"


def test_attributes_are_read_and_taken_out_of_the_text(store: Path, tmp_path: Path) -> None:
    assert with_zarr.attributes(store) == {"title": "a", "run": 1}
    text = with_zarr.without_attribute(store, "run")
    before = json.loads((store / with_zarr.METADATA).read_text())
    (store / with_zarr.METADATA).write_text(text)
    assert with_zarr.attributes(store) == {"title": "a"}
    after = json.loads(text)
    assert list(after) == list(before)
    assert {**after, "attributes": None} == {**before, "attributes": None}
    assert xr.open_zarr(store).attrs == {"title": "a"}
    assert with_zarr.attributes(tmp_path / "nothing") == {}
    (store / with_zarr.METADATA).write_text("[]")
    assert with_zarr.attributes(store) == {}
