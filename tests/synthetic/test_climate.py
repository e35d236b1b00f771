"""The synthetic climate: its exact distribution against brute force and against its own draws."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from cf_xarray.units import units as registry

from xdeepr import errors
from xdeepr.synthetic import SyntheticClimate, example_pair

OTHERS = [((40, 56), 2), ((40, 56), 8), ((24, 36), 3)]


@pytest.fixture(scope="module")
def climate() -> SyntheticClimate:
    return SyntheticClimate()


@pytest.fixture(scope="module")
def times() -> np.ndarray:
    """Every hour of the day and every season."""
    return np.datetime64("2001-01-01T00", "h") + 37 * np.arange(240)


@pytest.fixture(scope="module")
def pair(climate: SyntheticClimate, times: np.ndarray) -> tuple[xr.Dataset, xr.Dataset]:
    return climate.sample(times, seed=1)


@pytest.fixture(scope="module")
def exact(climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset]) -> xr.Dataset:
    return climate.conditional(pair[0])


@pytest.fixture(scope="module")
def drawn(climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset]) -> xr.Dataset:
    return climate.draw(pair[0].isel(time=slice(40)), 12, seed=1)


def block_mean(field: xr.DataArray, factor: int) -> xr.DataArray:
    """Area-weighted block mean by another way than the package's."""
    step = float(field.latitude[1] - field.latitude[0])
    edges = np.append(field.latitude.values, field.latitude.values[-1] + step) - step / 2
    area = xr.DataArray(np.diff(np.sin(np.radians(edges))), coords={"latitude": field.latitude})
    windows = {"latitude": factor, "longitude": factor}
    ones = xr.ones_like(field, dtype=float)
    return (field.astype(float) * area).coarsen(windows).sum() / (ones * area).coarsen(
        windows
    ).sum()


def brute_force(climate: SyntheticClimate) -> tuple[np.ndarray, np.ndarray]:
    """K and A as dense matrices, written down from the docstring of the class alone."""
    statics = climate.statics()
    latitude, longitude = np.meshgrid(statics.latitude, statics.longitude, indexing="ij")
    middle = np.radians(float(statics.latitude.mean()))
    north, east = (6371.229 * np.radians(angle.ravel()) for angle in (latitude, longitude))
    squared = (north[:, None] - north) ** 2 + np.cos(middle) ** 2 * (east[:, None] - east) ** 2
    land = statics["land_sea_mask"].values.ravel() > 0
    std = np.where(land, climate.local_std[1], climate.local_std[0])
    local = np.mean([np.exp(-squared / (2 * x**2)) for x in climate.local_lengths], axis=0)
    covariance = climate.synoptic_std**2 * np.exp(-squared / (2 * climate.synoptic_length**2))
    covariance += std[:, None] * std * local
    coordinates = {"latitude": statics.latitude, "longitude": statics.longitude}
    unit = xr.DataArray(
        np.eye(latitude.size).reshape(-1, *climate.shape),
        dims=("cell", "latitude", "longitude"),
        coords=coordinates,
    )
    return covariance, block_mean(unit, climate.factor).values.reshape(latitude.size, -1).T


def test_conditional_is_the_textbook_formula() -> None:
    climate = SyntheticClimate(seed=4, shape=(24, 20))
    covariance, operator = brute_force(climate)
    lr, _ = climate.sample("2001-04-01T06", seed=0)
    # The difference of two conditional means at one time is free of the prior mean.
    other = lr.copy(deep=True)
    other["t2m"] += np.random.default_rng(0).normal(size=lr["t2m"].shape)
    gain = covariance @ operator.T @ np.linalg.inv(operator @ covariance @ operator.T)
    moved = climate.conditional(other)["mean"] - climate.conditional(lr)["mean"]
    change = (other["t2m"].astype(float) - lr["t2m"].astype(float)).values.ravel()
    np.testing.assert_allclose(moved.values.ravel(), gain @ change, atol=1e-6)
    posterior = covariance - gain @ operator @ covariance
    std = climate.conditional(lr)["std"].values.ravel()
    np.testing.assert_allclose(std, np.sqrt(np.diag(posterior)), atol=1e-7)


def test_prior_has_the_stated_covariance() -> None:
    climate = SyntheticClimate(shape=(12, 12))
    covariance, _ = brute_force(climate)
    # The same hour and day of every year have the same mean.
    times = [np.datetime64(f"{year}-01-15T12", "h") for year in range(1678, 2262)]
    fields = np.concatenate(
        [climate.sample(times, seed=seed)[1]["t2m"].values for seed in range(8)]
    ).reshape(-1, 144)
    empirical = np.cov(fields.astype(float).T)
    # Standard error of a variance v from n samples: v sqrt(2 / n).
    error = covariance.max() * np.sqrt(2 / len(fields))
    assert np.abs(empirical - covariance).max() < 5 * error


def test_lr_is_the_area_weighted_block_mean(pair: tuple[xr.Dataset, xr.Dataset]) -> None:
    lr, hr = pair
    expected = block_mean(hr["t2m"], 4)
    np.testing.assert_allclose(lr["t2m"].values, expected.values, atol=1e-4)
    np.testing.assert_allclose(lr.latitude, expected.latitude)
    np.testing.assert_allclose(lr.longitude, expected.longitude)


@pytest.mark.parametrize(("shape", "factor"), [((64, 64), 4), *OTHERS])
def test_coarsen_gives_lr(shape: tuple[int, int], factor: int) -> None:
    from xdeepr.grids.coarsening import coarsen

    climate = SyntheticClimate(shape=shape, factor=factor)
    lr, hr = climate.sample(["2001-01-01", "2001-07-01T12"], seed=0)
    coarse = coarsen(hr, factor)
    np.testing.assert_allclose(coarse["t2m"].values, lr["t2m"].values, atol=1e-4)
    for name in ("latitude", "longitude"):
        np.testing.assert_allclose(coarse[name].values, lr[name].values)


def test_conditional_mean_keeps_the_observation(
    pair: tuple[xr.Dataset, xr.Dataset], exact: xr.Dataset
) -> None:
    kept = block_mean(exact["mean"], 4).values
    np.testing.assert_allclose(kept, pair[0]["t2m"].values.astype(float), atol=1e-9)


def test_conditional_mean_is_unbiased_with_the_stated_error(
    climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset], exact: xr.Dataset
) -> None:
    scaled = (pair[1]["t2m"] - exact["mean"]) / exact["std"]
    number = scaled.sizes["time"]
    assert np.abs(scaled.mean("time")).max() < 5.5 / np.sqrt(number)
    # Per cell the mean square is chi-squared over n; over all cells it is 1 within a per cent.
    assert np.abs((scaled**2).mean("time") - 1).max() < 6 * np.sqrt(2 / number)
    assert float((scaled**2).mean()) == pytest.approx(1, abs=0.01)
    weights = np.cos(np.radians(exact.latitude))
    rmse = np.sqrt(((pair[1]["t2m"] - exact["mean"]) ** 2).weighted(weights).mean())
    assert float(rmse) == pytest.approx(climate.expected_rmse(), rel=0.01)


@pytest.mark.parametrize(("shape", "factor"), OTHERS)
def test_other_shapes_and_factors(shape: tuple[int, int], factor: int) -> None:
    climate = SyntheticClimate(shape=shape, factor=factor)
    times = np.datetime64("2001-01-01T00", "h") + 37 * np.arange(80)
    lr, hr = climate.sample(times, seed=2)
    assert lr["t2m"].shape == (80, shape[0] // factor, shape[1] // factor)
    assert hr["t2m"].shape == (80, *shape)
    exact = climate.conditional(lr)
    np.testing.assert_allclose(
        block_mean(exact["mean"], factor).values, lr["t2m"].values, atol=1e-4
    )
    scaled = (hr["t2m"] - exact["mean"]) / exact["std"]
    assert float((scaled**2).mean()) == pytest.approx(1, abs=0.03)


def test_more_is_uncertain_the_coarser_lr_is() -> None:
    crps = [SyntheticClimate(factor=factor).expected_crps() for factor in (2, 4, 8)]
    assert crps == sorted(crps)


def test_exact_mean_beats_interpolation_clearly(
    climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    lr, hr = pair
    inside = lr["t2m"].interp(latitude=hr.latitude, longitude=hr.longitude, method="linear")
    rmse = float(np.sqrt(((inside - hr["t2m"]) ** 2).mean()))
    assert rmse > 1.5 * climate.expected_rmse()
    assert 0.1 < climate.expected_crps() < 0.5


def test_draws_have_the_stated_mean_and_spread(drawn: xr.Dataset, exact: xr.Dataset) -> None:
    scaled = (drawn["t2m"] - exact["mean"].isel(time=slice(40))) / exact["std"]
    both = ["realization", "time"]
    number = scaled.sizes["realization"] * scaled.sizes["time"]
    assert np.abs(scaled.mean(both)).max() < 5.5 / np.sqrt(number)
    assert float((scaled**2).mean()) == pytest.approx(1, abs=0.01)
    # Members are independent of each other, not only different.
    product = (scaled.isel(realization=0) * scaled.isel(realization=1)).mean()
    assert abs(float(product)) < 0.01


def test_draws_coarsen_back_to_lr(drawn: xr.Dataset, pair: tuple[xr.Dataset, xr.Dataset]) -> None:
    lr = pair[0]["t2m"].isel(time=slice(40)).values
    for member in drawn["t2m"]:
        np.testing.assert_allclose(block_mean(member, 4).values, lr, atol=1e-4)


def test_fair_crps_of_draws_is_the_expected_one(
    climate: SyntheticClimate, drawn: xr.Dataset, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    members, truth = drawn["t2m"], pair[1]["t2m"].isel(time=slice(40))
    count = members.sizes["realization"]
    skill = abs(members - truth).mean("realization")
    pairs = sum(abs(members[i].values - members[j].values) for i in range(count) for j in range(i))
    crps = (skill - pairs / (count * (count - 1))).weighted(np.cos(np.radians(truth.latitude)))
    assert float(crps.mean()) == pytest.approx(climate.expected_crps(), rel=0.02)


def test_a_time_does_not_depend_on_the_others(
    climate: SyntheticClimate, times: np.ndarray, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    chosen = [7, 3, 200]
    lr, hr = climate.sample(times[chosen], seed=1)
    xr.testing.assert_identical(hr, pair[1].isel(time=chosen))
    xr.testing.assert_identical(lr, pair[0].isel(time=chosen))


def test_a_member_does_not_depend_on_the_others(
    climate: SyntheticClimate, drawn: xr.Dataset, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    part = climate.draw(pair[0].isel(time=[5, 2]), 3, seed=1)
    whole = drawn.isel(time=[5, 2], realization=slice(3))
    # The order of sums in a matrix product depends on its size.
    xr.testing.assert_allclose(part, whole, rtol=0, atol=1e-4)


def test_seeds_share_nothing(
    climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    one, other = (climate.sample("2001-07-01T12", seed=seed)[1]["t2m"] for seed in (0, 1))
    assert (one != other).mean() > 0.9
    lr = pair[0].isel(time=[0])
    first, second = (climate.draw(lr, 1, seed=seed)["t2m"] for seed in (0, 1))
    assert (first != second).mean() > 0.9
    # Nor does an ensemble know the truth that has its seed.
    residual = pair[1]["t2m"].isel(time=[0]) - climate.conditional(lr)["mean"]
    of_draw = second - climate.conditional(lr)["mean"]
    assert abs(float(xr.corr(residual, of_draw.isel(realization=0)))) < 0.15


def test_same_everywhere_in_a_fresh_process(climate: SyntheticClimate) -> None:
    code = (
        "from xdeepr.synthetic import SyntheticClimate as C;"
        "print(float(C().sample('2001-07-01T12', seed=3)[1]['t2m'].sum(dtype='float64')))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    here = float(climate.sample("2001-07-01T12", seed=3)[1]["t2m"].sum(dtype="float64"))
    assert float(result.stdout) == pytest.approx(here, abs=1e-2)


def test_terrain() -> None:
    islands = [SyntheticClimate(seed=seed).statics() for seed in range(4)]
    for statics in islands:
        land = statics["land_sea_mask"]
        assert set(np.unique(land)) == {0.0, 1.0}
        assert float(land.mean()) == pytest.approx(0.45, abs=0.01)
        assert (statics["orography"].where(land == 0, 0) == 0).all()
        assert (statics["orography"].where(land == 1, 1) > 0).all()
        assert float(statics["orography"].max()) == pytest.approx(2400)
    for one in range(4):
        for other in range(one):
            assert not islands[one].equals(islands[other])
    xr.testing.assert_identical(SyntheticClimate(seed=2).statics(), islands[2])


def test_mean_has_diurnal_and_seasonal_cycles_and_lapse_rate() -> None:
    # Next to no weather: what is left is the deterministic part.
    climate = SyntheticClimate(synoptic_std=1e-4, local_std=(1e-4, 1e-4))
    statics = climate.statics()
    hours = np.datetime64("2001-07-25T00", "h") + np.arange(24)
    hr = climate.sample(hours, seed=0)[1]["t2m"]
    land = statics["land_sea_mask"] == 1
    day = hr.max("time") - hr.min("time")
    assert float(day.where(land).mean()) == pytest.approx(8, rel=0.02)
    assert float(day.where(~land).mean()) == pytest.approx(1, rel=0.02)
    # 15 h local time at 6 degrees east.
    assert int(hr.where(land).mean(["latitude", "longitude"]).argmax("time")) in (14, 15)
    altitude, temperature = statics["orography"].values[land], hr.values[0][land]
    slope = np.polyfit(altitude, temperature, 1)[0]
    assert slope == pytest.approx(-6.5e-3, rel=0.01)
    noon = np.array(["2001-01-25T12", "2001-07-25T12"], dtype="datetime64[h]")
    winter, summer = climate.sample(noon, seed=0)[1]["t2m"]
    assert float((summer - winter).where(land).mean()) == pytest.approx(16, rel=0.05)


def test_cf_metadata(
    climate: SyntheticClimate,
    pair: tuple[xr.Dataset, xr.Dataset],
    exact: xr.Dataset,
    drawn: xr.Dataset,
) -> None:
    for dataset in (*pair, exact, drawn, climate.statics()):
        assert dataset.attrs["Conventions"] == "CF-1.11"
        for name, field in dataset.data_vars.items():
            assert registry.parse_units(field.attrs["units"]) is not None, name
            assert field.attrs["long_name"]
        assert dataset.cf["latitude"].attrs["units"] == "degrees_north"
        assert set(dataset.cf.axes) >= {"X", "Y"}
        for name in ("latitude", "longitude"):
            bounds = dataset[dataset[name].attrs["bounds"]]
            np.testing.assert_allclose(bounds.mean("bnds"), dataset[name])
            np.testing.assert_allclose(bounds[1:, 0], bounds[:-1, 1])
    assert pair[1]["t2m"].attrs["standard_name"] == "air_temperature"
    assert pair[1]["t2m"].attrs["cell_methods"]
    assert drawn["realization"].attrs["standard_name"] == "realization"


def test_passes_a_cf_checker(
    tmp_path: Path,
    climate: SyntheticClimate,
    pair: tuple[xr.Dataset, xr.Dataset],
    exact: xr.Dataset,
    drawn: xr.Dataset,
) -> None:
    from compliance_checker.runner import CheckSuite

    suite = CheckSuite()
    suite.load_all_available_checkers()
    for number, dataset in enumerate((*pair, exact, drawn, climate.statics())):
        path = tmp_path / f"{number}.nc"
        dataset.to_netcdf(path)
        opened = suite.load_dataset(str(path))
        results, failed = suite.run_all(opened, ["cf:1.11"], skip_checks=[])["cf:1.11"]
        opened.close()
        assert not failed
        errors_found = [r.msgs for r in results if r.weight == 3 and r.value not in (None, True)]
        assert [found for found in errors_found if found] == []


def test_lr_in_another_order_gives_the_same_answer(
    climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset], exact: xr.Dataset
) -> None:
    north_first = pair[0].isel(latitude=slice(None, None, -1)).transpose("longitude", ...)
    xr.testing.assert_allclose(climate.conditional(north_first), exact)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda lr: lr.rename(t2m="tas"), errors.VariableError, "rename"),
        (lambda lr: lr.assign(t2m=lr["t2m"].assign_attrs(units="degC")), errors.UnitsError, "degC"),
        (lambda lr: lr.isel(time=0), errors.AxisError, "expand"),
        (lambda lr: lr.isel(latitude=slice(8)), errors.GridError, "latitude should have 16"),
        (
            lambda lr: lr.assign_coords(longitude=lr.longitude + 1),
            errors.GridError,
            "from 4.125 to 7.875",
        ),
        (lambda lr: lr.where(lr["t2m"] > lr["t2m"].min()), errors.MissingValuesError, "t2m"),
    ],
)
def test_bad_lr_names_the_cure(climate, pair, change, error, message) -> None:
    with xr.set_options(keep_attrs=True):
        lr = change(pair[0].isel(time=[0, 1]))
    with pytest.raises(error, match=message):
        climate.conditional(lr)
    with pytest.raises(error, match=message):
        climate.draw(lr, 1, seed=0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed"),
        ({"shape": (62, 64)}, "multiples"),
        ({"factor": 1}, "at least 2"),
        ({"shape": (0, 64)}, "multiples"),
        ({"south": 88.0}, "poles"),
        ({"resolution": -0.1}, "resolution"),
        ({"land_fraction": 1.0}, "land_fraction"),
        ({"local_std": (0.0, 1.0)}, "positive"),
        ({"local_lengths": ()}, "local_lengths"),
    ],
)
def test_bad_parameters_name_the_cure(changes: dict, message: str) -> None:
    with pytest.raises(errors.OptionError, match=message):
        SyntheticClimate(**changes)


def test_bad_requests_name_the_cure(
    climate: SyntheticClimate, pair: tuple[xr.Dataset, xr.Dataset]
) -> None:
    with pytest.raises(errors.OptionError, match="seed"):
        climate.sample("2001-01-01", seed=-1)
    with pytest.raises(errors.AxisError, match="NaT"):
        climate.sample(["2001-01-01", "NaT"], seed=0)
    with pytest.raises(errors.AxisError, match="standard calendar"):
        climate.sample(["first of May"], seed=0)
    with pytest.raises(errors.OptionError, match="members"):
        climate.draw(pair[0], 0, seed=0)
    with pytest.raises(errors.OptionError, match="days"):
        example_pair(days=0)


def test_a_domain_too_large_for_the_exact_solution_still_samples() -> None:
    climate = SyntheticClimate(shape=(256, 256), factor=2)
    lr, hr = climate.sample("2001-01-01T00", seed=0)
    assert hr["t2m"].shape == (1, 256, 256)
    with pytest.raises(errors.OptionError, match="too large"):
        climate.conditional(lr)


def test_climates_compare_by_their_parameters(climate: SyntheticClimate) -> None:
    climate.expected_crps()
    assert climate == SyntheticClimate()
    assert hash(climate) == hash(SyntheticClimate())
    assert climate != dataclasses.replace(climate, seed=1)


def test_example_pair() -> None:
    lr, hr, statics = example_pair(days=2, start="2003-02-01", seed=5)
    assert lr.sizes["time"] == hr.sizes["time"] == 48
    assert str(hr["time"].values[0]).startswith("2003-02-01T00:00")
    xr.testing.assert_equal(statics["latitude"], hr["latitude"])
    lr, hr, _ = example_pair(days=1, climate=SyntheticClimate(shape=(16, 16)))
    assert hr["t2m"].shape == (24, 16, 16)
