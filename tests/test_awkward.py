"""44 files with awkward properties: right, or refused in words that say how to mend them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.awkward_cases import CASES, RIGHT, Case, open_awkward, table
from xdeepr import cf
from xdeepr.errors import XdeeprError
from xdeepr.grids import grid_of, relate

pyproj = pytest.importorskip("pyproj")

TINY = {"block_out_channels": (8, 16, 16), "layers_per_block": 1}
CROP = 40  # cells along each axis that are downscaled; all cells are coarsened


def unit_vectors(lat: np.ndarray, lon: np.ndarray) -> np.ndarray:
    lat, lon = np.deg2rad(lat.astype(float)), np.deg2rad(lon.astype(float))
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)


def own_places(ds: xr.Dataset, axes: cf.Axes) -> np.ndarray:
    """Unit vectors of the cells, read from the file by hand: 2-D coordinates first."""
    found = {}
    for kind in ("north", "east"):
        for _, v in sorted(ds.variables.items(), key=lambda item: str(item[0])):
            if str(v.attrs.get("units", "")).startswith(("degrees_" + kind, "degree_" + kind)):
                v = v.isel({d: 0 for d in v.dims if d not in (axes.y, axes.x)})
                if set(v.dims) == {axes.y, axes.x} and np.abs(v.values).max() < 1e3:
                    found.setdefault(kind, v.transpose(axes.y, axes.x).values)
    if len(found) == 2:
        return unit_vectors(found["north"], found["east"])
    x, y = np.meshgrid(ds[axes.x].values.astype(float), ds[axes.y].values.astype(float))
    mapping = mapping_of(ds)
    if mapping is None or mapping["grid_mapping_name"] == "latitude_longitude":
        return unit_vectors(y, x)
    return unit_vectors(*by_mapping(mapping, x, y))


def mapping_of(ds: xr.Dataset) -> dict[str, Any] | None:
    found = [v.attrs for v in ds.variables.values() if "grid_mapping_name" in v.attrs]
    return found[0] if found else None


def by_mapping(
    attrs: dict[str, Any], x: np.ndarray, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude of map coordinates; a rotated pole is turned back by hand."""
    if attrs["grid_mapping_name"] != "rotated_latitude_longitude":
        crs = pyproj.CRS.from_cf(attrs)
        to = pyproj.Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True)
        lon, lat = to.transform(x, y)
        return lat, lon
    pole = np.deg2rad(float(attrs["grid_north_pole_latitude"]))
    turn = np.deg2rad(float(attrs["grid_north_pole_longitude"]))
    shift = np.deg2rad(float(attrs.get("north_pole_grid_longitude", 0.0)))
    rlat, rlon = np.deg2rad(y), np.deg2rad(x) + shift
    # the rotated north pole and its meridian, as an orthogonal frame
    u, v, w = np.cos(rlat) * np.cos(rlon), np.cos(rlat) * np.sin(rlon), np.sin(rlat)
    south = -(np.sin(pole) * u - np.cos(pole) * w)
    east = -v
    z = np.cos(pole) * u + np.sin(pole) * w
    lon = turn + np.arctan2(east, south)
    return np.rad2deg(np.arcsin(np.clip(z, -1, 1))), np.rad2deg(lon)


def block_middles(vectors: np.ndarray, factor: int = 2) -> np.ndarray:
    y, x = (n // factor for n in vectors.shape[:2])
    blocks = vectors[: y * factor, : x * factor].reshape(y, factor, x, factor, 3).mean((1, 3))
    return blocks / np.linalg.norm(blocks, axis=-1, keepdims=True)


def assert_same_places(ours: np.ndarray, theirs: np.ndarray, cells: float) -> None:
    """Within a part of the smallest cell."""
    off = np.linalg.norm(ours - theirs, axis=-1).max()
    sizes = [np.median(np.linalg.norm(np.diff(theirs, axis=k), axis=-1)) for k in (0, 1)]
    assert off < cells * min(sizes)


def assert_clothed(out: xr.Dataset, ds: xr.Dataset, axes: cf.Axes, names: list[str]) -> None:
    """Units, calendar, bounds, grid mapping and 2-D coordinates are there."""
    grid = grid_of(out)
    for name in names:
        stated, said = (cf.units_of(obj[name]) for obj in (ds, out))
        assert stated == said
        assert not {"_FillValue", "scale_factor"} & set(out[name].attrs)
        mapping = out[name].attrs.get("grid_mapping")
        if grid.mapping is not None:
            assert dict(out[mapping].attrs) == mapping_of(ds)
    if axes.time is not None:
        xr.testing.assert_equal(out[axes.time].variable, ds[axes.time].variable)
    for name in (axes.y, axes.x):
        if grid.kind == "curvilinear":
            assert name not in out.coords
            continue
        bounds, centre = out[out[name].attrs["bounds"]].values, out[name].values
        assert ((bounds.min(1) < centre) & (centre < bounds.max(1))).all()
        turn = np.abs(bounds[1:, 0] - bounds[:-1, 1]) % 360
        np.testing.assert_allclose(np.minimum(turn, 360 - turn), 0, atol=1e-6)
    folded = [n for n, c in out.coords.items() if c.dims == (axes.y, axes.x)]
    assert len(folded) == (0 if grid.kind == "latlon" else 2)
    for variable in out.variables.values():
        for key in ("bounds", "climatology"):
            assert variable.attrs.get(key, str(axes.y)) in {*map(str, out.variables), axes.y}


def assert_by_mapping(out: xr.Dataset, axes: cf.Axes, case: Case) -> None:
    """2-D latitude and longitude are those of the map coordinates, by pyproj or by hand."""
    mapping = mapping_of(out)
    if mapping is None or grid_of(out).kind in ("latlon", "curvilinear") or case.warns:
        return
    x, y = np.meshgrid(out[axes.x].values.astype(float), out[axes.y].values.astype(float))
    lat, lon = by_mapping(mapping, x, y)
    ours = unit_vectors(out["latitude"].values, out["longitude"].values)
    # half a metre: the coordinates of some files are float32
    np.testing.assert_allclose(ours, unit_vectors(lat, lon), atol=8e-8)


def crop(ds: xr.Dataset, axes: cf.Axes) -> xr.Dataset:
    """A part of even size, from the middle; strips round the globe stay whole."""
    kept = {}
    for dim in (axes.y, axes.x):
        size = ds.sizes[dim] // 2 * 2
        whole = dim == axes.x and grid_of(ds).closed and size < 400
        first = 0 if whole else max(0, (size - CROP) // 2)
        kept[dim] = slice(first, size if whole else first + min(size, CROP))
    if axes.time is not None:
        kept[axes.time] = slice(0, 3)
    return ds.isel(kept)


def fit_and_downscale(ds: xr.Dataset) -> xr.Dataset:
    lr = xdeepr.coarsen(ds, 2)
    model = xdeepr.fit(
        lr, ds, max_steps=2, batch_size=2, window=16, validation=None, network=TINY,
        precision="float32", progress=False, time_features=(),
    )  # fmt: skip
    return xdeepr.downscale(lr, model, steps=2, seed=1).compute()


def outcome(verb: Any) -> str:
    """Return "right" or the message; anything but an XdeeprError gets through."""
    try:
        verb()
    except XdeeprError as error:
        return str(error)
    return RIGHT


@pytest.fixture(params=CASES, ids=lambda case: case.file[:40])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param.file.endswith(("grib", "grb", "grib2")):
        pytest.importorskip("cfgrib")
    return request.param


@pytest.fixture
def ds(case: Case, data_dir: Path) -> xr.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of xarray, about the files
        try:
            return open_awkward(data_dir, case.file)
        except Exception as error:
            assert type(error).__name__ == case.coarsen, error
            pytest.skip(f"cannot be opened: {error}")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_as_it_is_opened(case: Case, ds: xr.Dataset) -> None:
    def fit() -> None:
        axes = cf.find_axes(ds)
        # what is refused costs nothing, so the whole is given
        even = {d: slice(0, ds.sizes[d] // 2 * 2) for d in (axes.y, axes.x)}
        fit_and_downscale(crop(ds, axes) if case.fit == RIGHT else ds.isel(even))

    said = {
        "coarsen": outcome(lambda: xdeepr.coarsen(ds, 2, boundary="trim").compute()),
        "downscale": outcome(lambda: xdeepr.downscale(ds, "nearest", factor=2).compute()),
        "fit": outcome(fit),
    }
    for verb, message in said.items():
        expected = getattr(case, verb)
        if expected == RIGHT:
            assert message == RIGHT
        else:
            assert re.search(expected, message), f"{verb}: {message}"
            assert len(message) > 60  # the cause and the cure take words


@pytest.fixture
def mended(case: Case, ds: xr.Dataset) -> xr.Dataset:
    if case.mend is not None:
        return case.mend(ds)
    if case.cure:
        pytest.skip(f"nothing that xarray does mends it: {case.cure}")
    return ds


@pytest.mark.filterwarnings("ignore:Numerical issues:UserWarning")
def test_coarsened(case: Case, mended: xr.Dataset, tmp_path: Path) -> None:
    axes = cf.find_axes(mended)
    names = cf.spatial_variables(mended, axes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        lr = xdeepr.coarsen(mended, 2, boundary="trim").compute()
    said = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert any(re.search(case.warns, text) for text in said) if case.warns else said == []
    assert_clothed(lr, mended, axes, names)
    assert_same_places(own_places(lr, axes), block_middles(own_places(mended, axes)), 0.01)
    assert_by_mapping(lr, axes, case)
    for name in names:
        field = mended[name].transpose(..., axes.y, axes.x).values.astype(float)
        y, x = (n // 2 for n in field.shape[-2:])
        blocks = field[..., : y * 2, : x * 2].reshape(*field.shape[:-2], y, 2, x, 2)
        ours = lr[name].transpose(..., axes.y, axes.x).values
        slack = 1e-5 * np.abs(field).max()
        assert (ours >= blocks.min((-3, -1)) - slack).all()
        assert (ours <= blocks.max((-3, -1)) + slack).all()
    lr.to_netcdf(tmp_path / "lr.nc")
    with xr.open_dataset(tmp_path / "lr.nc", decode_coords="all") as back:
        assert relate(grid_of(back), grid_of(mended.isel(
            {d: slice(0, mended.sizes[d] // 2 * 2) for d in (axes.y, axes.x)}
        ))) == (2, (0, 0, 0, 0))  # fmt: skip


@pytest.mark.filterwarnings("ignore:the grid mapping:UserWarning")
@pytest.mark.filterwarnings("ignore:the model:UserWarning")
def test_downscaled(case: Case, mended: xr.Dataset, tmp_path: Path) -> None:
    """By repeating cells, so that every HR cell is known, and by a model."""
    axes = cf.find_axes(mended)
    names = cf.spatial_variables(mended, axes)
    part = crop(mended, axes)
    hr = xdeepr.downscale(part, "nearest", factor=2).compute()
    for name in names:
        field = part[name].transpose(..., axes.y, axes.x).values
        expected = np.repeat(np.repeat(field, 2, axis=-2), 2, axis=-1)
        ours = hr[name].transpose(*part[name].transpose(..., axes.y, axes.x).dims)
        np.testing.assert_allclose(ours.values, expected, rtol=1e-6)
    assert_clothed(hr, part, axes, names)
    assert_same_places(block_middles(own_places(hr, axes)), own_places(part, axes), 0.01)
    assert_by_mapping(hr, axes, case)
    hr.to_netcdf(tmp_path / "hr.nc")
    with xr.open_dataset(tmp_path / "hr.nc", decode_coords="all") as back:
        assert relate(grid_of(part), grid_of(back)) == (2, (0, 0, 0, 0))
    if len(names) == 1:
        out = fit_and_downscale(part)
        assert np.isfinite(out[names[0]]).all()
        assert_clothed(out, part, axes, names)
        assert_same_places(own_places(out, axes), own_places(part, axes), 1e-3)
        for dim in {axes.y, axes.x} & set(out.coords):
            np.testing.assert_array_equal(out[dim], part[dim])


def test_the_page_of_files_has_this_table() -> None:
    """``python -m tests.awkward_cases`` prints it."""
    page = Path(__file__).parents[1] / "docs/files.md"
    assert table() in page.read_text()


def test_every_file_is_here(data_dir: Path) -> None:
    assert sorted(c.file for c in CASES) == sorted(p.name for p in (data_dir / "awkward").iterdir())
