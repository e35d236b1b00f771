"""What the parts of `xdeepr.io` promise each by itself; whole runs are in `tests/io`."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from xdeepr import io
from xdeepr.errors import DataUnavailableError, OptionError
from xdeepr.io import Terminated, content_digest, open_file, terminated
from xdeepr.io.identity import dateless, describe, differences, digest, split_variables
from xdeepr.io.regions import Field, Partition


def test_public_names() -> None:
    assert all(hasattr(io, name) for name in io.__all__)
    old = {
        "open_file",
        "write_file",
        "check_output",
        "whole",
        "progress_bar",
        "GRIB",
        "NETCDF",
        "ZARR",
    }
    assert old | {"write_zarr", "write_periods", "is_unfinished"} <= set(io.__all__)


# --- regions ------------------------------------------------------------------------------

sizes = st.lists(st.integers(1, 5), min_size=1, max_size=6).map(tuple)


dimensions = st.dictionaries(
    st.sampled_from("tyx"), st.tuples(sizes, st.integers(1, 4)), min_size=1
)


def zeros(name: str, chunks: dict[str, tuple[int, ...]]) -> Field:
    """A field of these blocks."""
    shape = tuple(sum(blocks) for blocks in chunks.values())
    return Field(name, tuple(chunks), da.zeros(shape, chunks=tuple(chunks.values())))


@given(along=dimensions)
def test_regions_cover_all_blocks_of_all_fields_once(along) -> None:
    """One field in the blocks as they are, one with a dimension less in others of that size."""
    first = {dim: blocks for dim, (blocks, _) in along.items()}
    second = {
        dim: da.core.normalize_chunks(size, (sum(blocks),))[0]
        for dim, (blocks, size) in [*along.items()][1:]
    }
    fields = [zeros("a", first), zeros("b", second)]
    partition = Partition.of(fields, first=["x"])
    for field in fields:
        count = np.zeros(field.array.numblocks, dtype=int)
        values = np.zeros(field.array.shape, dtype=int)
        for number in range(len(partition)):
            spans = partition.spans(number)
            for index, place in partition.blocks(field, number):
                count[index] += 1
                values[place] += 1
                for dim, at in zip(field.dims, place, strict=True):
                    assert spans[dim][0] <= at.start < at.stop <= spans[dim][1]
        assert (count == 1).all()
        assert (values == 1).all()


def test_regions_vary_slowest_in_time() -> None:
    field = Field("a", ("m", "time"), da.zeros((4, 6), chunks=2))
    spans = [Partition.of([field], ["time"]).spans(number) for number in range(3)]
    assert [(s["time"], s["m"]) for s in spans] == [
        ((0, 2), (0, 2)),
        ((0, 2), (2, 4)),
        ((2, 4), (0, 2)),
    ]


# --- identity -----------------------------------------------------------------------------


def result(**attrs: object) -> xr.Dataset:
    x = da.arange(4, chunks=2, dtype="f4")
    ds = xr.Dataset({"x": ("t", x, {"units": "K", "grid_mapping": "crs", "valid": np.float32(3)})})
    ds["crs"] = xr.DataArray(da.zeros((), dtype="i4"))
    return ds.assign_coords(t=("t", np.arange(4), {"bounds": "t_bnds"})).assign(
        t_bnds=(("t", "b"), da.zeros((4, 2)))
    ).assign_attrs(attrs)  # fmt: skip


def identity(ds: xr.Dataset, **given: object) -> dict:
    fields, _ = split_variables(ds)
    return describe(
        ds.assign(crs=ds.crs.compute(), t_bnds=ds.t_bnds.compute()), fields, {}, given or None
    )


def test_fields_are_told_from_their_helpers() -> None:
    fields, rest = split_variables(result())
    assert fields == ["x"]
    assert sorted(rest) == ["crs", "t", "t_bnds"]


def test_the_identity_is_json_and_the_same_each_time() -> None:
    assert identity(result(a=np.int64(3), b=[1.5, np.nan], c=None)) == identity(
        result(a=np.int64(3), b=[1.5, np.nan], c=None)
    )
    assert len(digest(identity(result()))) == 16


@pytest.mark.parametrize("attrs", [{"history": "2021-01-02T03:04:05Z a"}, {"date_created": "now"}])
def test_dates_do_not_matter(attrs: dict[str, str]) -> None:
    other = {k: v.replace("2021", "2022").replace("now", "then") for k, v in attrs.items()}
    assert identity(result(**attrs)) == identity(result(**other))
    assert identity(result(**attrs)) != identity(result())


def test_each_line_of_the_history_loses_its_date_only() -> None:
    lines = "2021-01-02T03:04:05Z xdeepr 1: a\n2020-02-03 04:05:06.7+01:00 b of 2019-01-01\nno date"
    assert dateless("history", lines) == "xdeepr 1: a\nb of 2019-01-01\nno date"


def test_differences_are_few_and_short() -> None:
    one, other = identity(result()), identity(result(**{f"a{n}": "b" * 500 for n in range(9)}))
    said = differences(one, other)
    assert said.startswith("a0 is only here; a1") and said.endswith("; …")
    assert len(said) < 200
    assert differences(one, one) == ""
    changed = differences(identity(result(a="b" * 500)), identity(result(a="c" * 500)))
    assert len(changed) < 300 and "…" in changed


def test_a_given_identity_is_compared_in_words() -> None:
    one, other = identity(result(), input="3f"), identity(result(), input="9c")
    assert differences(one, other) == "input is '3f' there and '9c' here"


def test_the_digest_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    one, other, folder = tmp_path / "a", tmp_path / "b", tmp_path / "store"
    one.write_bytes(b"x" * 100)
    shutil.copy(one, other)
    os.utime(other, (0, 0))
    assert content_digest(one) == content_digest(other)
    other.write_bytes(b"x" * 99 + b"y")
    assert content_digest(one) != content_digest(other)
    (folder / "c").mkdir(parents=True)
    (folder / "c/0").write_bytes(b"x")
    before = content_digest(folder)
    shutil.copytree(folder, tmp_path / "copy")
    assert content_digest(tmp_path / "copy") == before
    (folder / "c/0").rename(folder / "c/1")
    assert content_digest(folder) != before


# --- files --------------------------------------------------------------------------------


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailableError, match="cannot be read"):
        open_file(tmp_path)


def test_the_message_of_an_unknown_ending_names_all_ways() -> None:
    with pytest.raises(OptionError, match=r"\.nc for netCDF or \.zarr; .* --period"):
        io.check_output("out")


# --- signals ------------------------------------------------------------------------------


def test_sigterm_is_an_interrupt_while_a_block_runs() -> None:
    with pytest.raises(KeyboardInterrupt) as stop, terminated():
        signal.raise_signal(signal.SIGTERM)
    assert isinstance(stop.value, Terminated)
    assert stop.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_handler_of_somebody_else_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    got = []
    before = signal.signal(signal.SIGTERM, lambda *_: got.append(1))
    try:
        with terminated():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert got == [1]
