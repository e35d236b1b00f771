"""`verify`: alignment, weights, chunks, missing values, layout, errors and real data."""

from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
import xarray as xr
import xskillscore as xs

from xdeepr.cf.dimensions import ENSEMBLE_NAMES
from xdeepr.errors import AxisError, GridError, OptionError, UnitsError, VariableError
from xdeepr.verification import verify

DETERMINISTIC = ["rmse", "mae", "bias", "pearson_r"]
ENSEMBLE = ["crps", "crps_fair", "spread_skill_ratio", "rank_histogram"]


def assert_same_scores(actual: xr.Dataset, expected: xr.Dataset, rtol: float = 1e-9) -> None:
    actual, expected = actual.drop_attrs(), expected.drop_attrs()
    xr.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-12)


class TestScores:
    def test_scores_are_those_of_xskillscore(self, ensemble, truth, smooth):
        scores = verify(ensemble, truth, baseline=smooth)
        weights = np.cos(np.deg2rad(truth.latitude)).broadcast_like(truth)
        for system, single in (("forecast", ensemble.mean("realization")), ("baseline", smooth)):
            ours = scores.sel(system=system)
            for name, oracle in (("rmse", xs.rmse), ("mae", xs.mae), ("pearson_r", xs.pearson_r)):
                expected = oracle(single, truth, weights=weights).item()
                # cos(latitude) is the area of a cell to second order in its height
                assert ours[name].item() == pytest.approx(expected, rel=1e-5), name
            assert ours.bias.item() == pytest.approx(
                float((single - truth).weighted(weights).mean()), rel=1e-4
            )
        crps = xs.crps_ensemble(truth, ensemble, member_dim="realization", weights=weights)
        assert scores.crps.sel(system="forecast").item() == pytest.approx(crps.item(), rel=1e-5)

    def test_a_single_field_beside_an_ensemble_has_crps_of_its_mae_and_no_spread(
        self, ensemble, truth, smooth
    ):
        baseline = verify(ensemble, truth, baseline=smooth).sel(system="baseline")
        assert baseline.crps.item() == baseline.crps_fair.item() == baseline.mae.item()
        assert np.isnan(baseline.spread_skill_ratio)
        assert baseline.rank_histogram.isnull().all()

    def test_single_fields_have_no_ensemble_scores(self, truth, smooth):
        scores = verify(smooth, truth, baseline=None)
        assert list(scores.data_vars) == [*DETERMINISTIC, "count"]

    def test_rank_histogram_sums_to_one(self, ensemble, truth):
        histogram = verify(ensemble, truth, baseline=None).rank_histogram
        assert histogram.sizes == {"system": 1, "rank": 7}
        assert histogram.sum("rank").item() == pytest.approx(1)

    def test_a_perfect_forecast(self, truth):
        scores = verify(truth, truth, baseline=None).squeeze()
        assert (scores.rmse.item(), scores.mae.item(), scores.bias.item()) == (0, 0, 0)
        assert scores.pearson_r.item() == pytest.approx(1)

    def test_correlation_with_a_constant_is_missing(self, truth):
        scores = verify(xr.full_like(truth, 285.0), truth, baseline=None)
        assert np.isnan(scores.pearson_r).all()

    def test_scores_describe_themselves(self, ensemble, truth, smooth):
        scores = verify(ensemble, truth, baseline=smooth)
        assert scores.rmse.attrs == {"long_name": "root-mean-square error", "units": "K"}
        assert scores.pearson_r.attrs["units"] == "1"
        assert scores.attrs["baseline"] == "baseline"
        assert int(scores["count"]) == truth.size


class TestDimensions:
    def test_maps(self, ensemble, truth):
        scores = verify(ensemble, truth, baseline=None, dim="time")
        assert scores.rmse.dims == ("system", "latitude", "longitude")
        expected = xs.rmse(ensemble.mean("realization"), truth, dim="time")
        np.testing.assert_allclose(scores.rmse.squeeze("system", drop=True), expected)
        np.testing.assert_array_equal(scores.latitude, truth.latitude)

    def test_series(self, ensemble, truth):
        scores = verify(ensemble, truth, baseline=None, dim=["latitude", "longitude"])
        assert scores.crps.dims == ("system", "time")

    def test_weights_are_the_cell_areas_of_a_descending_grid(self, make_field):
        # Error only in the northernmost row of two: its share of the area is its weight.
        truth = make_field(np.zeros((1, 2, 4)))
        forecast = truth.copy()
        forecast[:, 0] = 1.0
        north, middle, south = np.sin(np.deg2rad([60.125, 59.875, 59.625]))
        mae = verify(forecast, truth, baseline=None).mae
        assert mae.item() == pytest.approx((north - middle) / (north - south), rel=1e-6)
        equal = verify(forecast, truth, baseline=None, weights=None).mae
        assert equal.item() == 0.5

    def test_own_weights(self, smooth, truth):
        land = (truth.longitude > 6).astype(float)
        scores = verify(smooth, truth, baseline=None, weights=land)
        expected = xs.rmse(*(da.where(land > 0, drop=True) for da in (smooth, truth)))
        assert scores.rmse.item() == pytest.approx(expected.item())

    @pytest.mark.parametrize("dim", ["level", "realization", []])
    def test_unknown_dimension(self, ensemble, truth, dim):
        with pytest.raises(OptionError, match="'latitude', 'longitude'"):
            verify(ensemble, truth, baseline=None, dim=dim)

    def test_weights_that_cannot_be_used(self, smooth, truth):
        for weights, cure in (
            ("cosine", "'area'"),
            (xr.DataArray(np.ones(3), dims="level"), "dimensions of the fields"),
            (xr.full_like(truth, -1.0), "clip"),
        ):
            with pytest.raises(OptionError, match=cure):
                verify(smooth, truth, baseline=None, weights=weights)
        with pytest.raises(GridError, match="Select or regrid"):
            verify(smooth, truth, baseline=None, weights=xr.ones_like(truth.latitude[:3]))


class TestChunks:
    @pytest.mark.parametrize(
        "chunks",
        [
            {"time": 5},
            {"realization": 1},
            {"latitude": 3, "longitude": 4},
            {"realization": 2, "time": 1, "latitude": 5},
        ],
    )
    def test_scores_do_not_depend_on_chunks(self, ensemble, truth, smooth, chunks):
        whole = verify(ensemble, truth, baseline=smooth)
        parts = verify(ensemble.chunk(chunks), truth.chunk({"time": 7}), baseline=smooth)
        assert_same_scores(parts, whole)

    def test_memory_is_bounded_by_the_block(self, make_field):
        import tracemalloc

        # 225 MiB in all, 1.5 MiB a chunk.
        lazy = make_field(da.random.normal(size=(6, 1200, 64, 64), chunks=(6, 8, 64, 64)))
        truth = lazy.isel(realization=0, drop=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tracemalloc.start()
            verify(lazy, truth, baseline=None)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < lazy.nbytes / 2

    def test_progress_bar_only_when_asked(self, ensemble, truth, capsys):
        verify(ensemble, truth, baseline=None)
        assert capsys.readouterr().err == ""
        verify(ensemble, truth, baseline=None, progress=True)
        shown = capsys.readouterr()
        assert "verifying" in shown.err
        assert shown.out == ""


class TestMissingValues:
    def test_points_missing_in_any_field_are_left_out_for_all(self, ensemble, truth, smooth):
        holes = truth.copy()
        holes[:, 2:4, :] = np.nan
        patchy = smooth.copy()
        patchy[3] = np.nan
        scores = verify(ensemble, holes, baseline=patchy, weights=None)
        kept = (holes.notnull() & patchy.notnull()).values
        assert int(scores["count"]) == kept.sum()
        error = (ensemble.mean("realization") - truth).values[kept]
        assert scores.rmse.sel(system="forecast").item() == pytest.approx(
            np.sqrt((error**2).mean())
        )
        error = (smooth - truth).values[kept]
        assert scores.mae.sel(system="baseline").item() == pytest.approx(abs(error).mean())
        assert scores.rank_histogram.sel(system="forecast").sum().item() == pytest.approx(1)

    def test_a_map_is_missing_where_nothing_can_be_scored(self, ensemble, truth):
        sea = truth.copy()
        sea[:, 0, 0] = np.nan
        scores = verify(ensemble, sea, baseline=None, dim="time")
        for score in (scores.rmse, scores.crps, scores.spread_skill_ratio):
            assert int(score.isnull().sum()) == 1
        assert int(scores["count"][0, 0]) == 0


class TestAlignment:
    def test_reference_in_another_order_convention_and_unit(self, ensemble, truth, smooth):
        other = (truth - 273.15).assign_attrs(units="degC").isel(latitude=slice(None, None, -1))
        other = other.assign_coords(longitude=other.longitude.copy(data=other.longitude - 360))
        other = other.rename(latitude="lat", longitude="lon", time="valid_time")
        other.lat.attrs["units"], other.lon.attrs["units"] = "degrees_north", "degrees_east"
        other.valid_time.attrs["standard_name"] = "time"
        assert_same_scores(
            verify(ensemble, other, baseline=smooth), verify(ensemble, truth, baseline=smooth)
        )

    def test_scores_are_in_the_units_of_the_forecast(self, truth, smooth):
        celsius = (smooth - 273.15).assign_attrs(units="degC")
        scores = verify(celsius, truth, baseline=None)
        assert scores.rmse.attrs["units"] == "degC"
        assert_same_scores(scores, verify(smooth, truth, baseline=None))

    def test_a_reference_that_covers_more_is_cut(self, truth, smooth):
        inner = smooth.isel(latitude=slice(2, 6), longitude=slice(1, 9))
        scores = verify(inner, truth, baseline=smooth)
        assert int(scores["count"]) == inner.size
        assert scores.rmse.sel(system="forecast").item() == float(
            scores.rmse.sel(system="baseline")
        )

    def test_only_common_times_are_scored(self, ensemble, truth):
        scores = verify(
            ensemble.isel(time=slice(0, 8)),
            truth.isel(time=slice(5, 12)),
            baseline=None,
            dim=["latitude", "longitude"],
        )
        np.testing.assert_array_equal(scores.time, truth.time[5:8])

    def test_no_common_times(self, ensemble, truth):
        later = truth.assign_coords(time=truth.time + np.timedelta64(365, "D"))
        with pytest.raises(AxisError, match=r"no time in common.*Check periods"):
            verify(ensemble, later, baseline=None)

    def test_a_reference_without_time(self, ensemble, truth):
        with pytest.raises(AxisError, match=r"no time coordinate.*expand_dims"):
            verify(ensemble, truth.isel(time=0, drop=True), baseline=None)

    def test_one_time_as_a_scalar_coordinate(self, ensemble, truth):
        one = verify(ensemble.isel(time=4), truth, baseline=None)
        assert_same_scores(one, verify(ensemble.isel(time=[4]), truth, baseline=None))

    @pytest.mark.parametrize("shift", [0.1, 5.0])
    def test_another_grid(self, ensemble, truth, shift):
        moved = truth.assign_coords(latitude=truth.latitude.copy(data=truth.latitude + shift))
        with pytest.raises(GridError, match=r"reference does not have the cells.*latitude.*Regrid"):
            verify(ensemble, moved, baseline=None)

    def test_a_finer_grid_that_shares_its_centres(self, make_field, truth):
        coarse = truth.isel(latitude=slice(0, None, 3), longitude=slice(0, None, 3))
        with pytest.raises(GridError, match=r"grid step of 0\.25.*forecast of 0\.75"):
            verify(coarse, truth, baseline=None)

    def test_units_that_do_not_fit(self, ensemble, truth):
        with pytest.raises(UnitsError):
            verify(ensemble, truth.assign_attrs(units="m s-1"), baseline=None)

    def test_an_unexplained_dimension(self, ensemble, truth):
        with pytest.raises(AxisError, match=r"'level'.*isel"):
            verify(ensemble.expand_dims(level=2), truth, baseline=None)

    def test_an_ensemble_is_no_reference(self, ensemble):
        with pytest.raises(AxisError, match=r"reference.*ensemble dimension"):
            verify(ensemble, ensemble, baseline=None)

    @pytest.mark.parametrize("name", ENSEMBLE_NAMES)
    def test_other_names_of_the_ensemble_dimension(self, ensemble, truth, name):
        renamed = verify(ensemble.rename(realization=name), truth, baseline=None)
        assert_same_scores(renamed, verify(ensemble, truth, baseline=None))


class TestVariablesAndSystems:
    def test_two_variables(self, ensemble, truth, smooth, make_field):
        wind = make_field(np.abs(ensemble.values - 285), name="ws", units="m s-1")
        forecast = xr.Dataset({"t2m": ensemble, "ws": wind}, attrs={"xdeepr_model": "ddpm"})
        reference = xr.Dataset({"t2m": truth, "ws": abs(truth - 285).assign_attrs(wind.attrs)})
        scores = verify(forecast, reference, baseline=reference.shift(longitude=1))
        assert list(scores["variable"].values) == ["t2m", "ws"]
        assert list(scores["units"].values) == ["K", "m s-1"]
        assert list(scores["system"].values) == ["ddpm", "baseline"]
        alone = verify(ensemble, truth, baseline=truth.shift(longitude=1))
        np.testing.assert_allclose(scores.crps.sel(variable="t2m"), alone.crps)

    def test_a_variable_without_counterpart(self, truth, make_field):
        reference = xr.Dataset({"a": truth.rename("a"), "b": truth.rename("b")})
        with pytest.raises(VariableError, match=r"reference 't2m' is ambiguous; candidates: a, b"):
            verify(truth.to_dataset(), reference, baseline=None)

    def test_counterpart_by_standard_name(self, truth):
        tagged = truth.assign_attrs(standard_name="air_temperature")
        reference = xr.Dataset({"a": tagged, "b": truth})
        assert verify(tagged, reference, baseline=None).rmse.item() == 0

    def test_extra_systems_of_another_ensemble_size(self, ensemble, truth, smooth):
        optimum = ensemble.isel(realization=slice(0, 3))
        scores = verify(ensemble, truth, baseline=smooth, extra={"optimum": optimum})
        assert list(scores["system"].values) == ["forecast", "baseline", "optimum"]
        alone = verify(optimum, truth, baseline=None)
        ours = scores.sel(system="optimum")
        assert ours.crps_fair.item() == pytest.approx(alone.crps_fair.item())
        np.testing.assert_allclose(ours.rank_histogram.dropna("rank"), alone.rank_histogram[0])

    def test_unknown_baseline(self, ensemble, truth):
        with pytest.raises(OptionError, match=r"'cubic' is not one of.*bicubic"):
            verify(ensemble, truth, baseline="cubic")

    def test_baseline_by_name_needs_predictor_or_factor(self, ensemble, truth):
        with pytest.raises(OptionError, match="Pass predictor="):
            verify(ensemble, truth)


class TestInterpolatedBaseline:
    @pytest.fixture(autouse=True)
    def _needs_downscale(self):
        pytest.importorskip("xdeepr.downscaling.verb")

    @pytest.mark.parametrize("name", ["nearest", "bilinear", "bicubic"])
    def test_from_the_predictor(self, ensemble, truth, name):
        from xdeepr.downscaling import downscale
        from xdeepr.grids.coarsening import coarsen

        lr = coarsen(truth, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scores = verify(ensemble, truth, baseline=name, predictor=lr)
        assert list(scores["system"].values) == ["forecast", name]
        assert scores.attrs["baseline_source"] == "interpolation of the predictor"
        field = downscale(lr.to_dataset(), model=name, factor=2)["t2m"]
        expected = verify(ensemble, truth, baseline=field.drop_attrs().assign_attrs(units="K"))
        np.testing.assert_allclose(scores.rmse, expected.rmse, rtol=1e-6)

    def test_nearest_of_the_coarsened_reference(self, ensemble, truth):
        from xdeepr.grids.coarsening import coarsen

        forecast = ensemble.assign_attrs(xdeepr_factor=2)
        with pytest.warns(UserWarning, match=r"perfect model.*predictor="):
            scores = verify(forecast, truth, baseline="nearest", weights=None)
        assert "perfect model" in scores.attrs["baseline_source"]
        blocks = coarsen(truth, 2).transpose("time", "latitude", "longitude").values
        error = np.repeat(np.repeat(blocks, 2, axis=1), 2, axis=2) - truth.values
        # float32 inside the interpolation
        assert scores.rmse.sel(system="nearest").item() == pytest.approx(
            np.sqrt((error**2).mean()), rel=1e-5
        )

    def test_forecast_inside_the_interpolated_domain(self, ensemble, truth):
        from xdeepr.grids.coarsening import coarsen

        inner = ensemble.isel(latitude=slice(2, 6), longitude=slice(2, 8))
        scores = verify(inner, truth, baseline="bilinear", predictor=coarsen(truth, 2))
        assert int(scores["count"]) == inner.isel(realization=0).size


class TestRealEnsemble:
    """MOGREPS-UK (12 members, projected grid) against the UKV analyses."""

    @pytest.fixture
    def mogreps(self, data_dir) -> tuple[list[xr.Dataset], list[xr.Dataset]]:
        folder = data_dir / "mogreps-uk"
        days = ("20170602", "20170603", "20170604")
        forecasts, analyses = [], []
        for day in days:
            pattern = "T0300Z-PT0012H-temperature_at_screen_level.nc"
            forecasts.append(xr.open_dataset(folder / f"{day}{pattern}").load())
            analyses.append(
                xr.open_dataset(folder / f"UKV_analysis_{day}T1500Z-temperature.nc").load()
            )
        return forecasts, analyses

    def test_a_file_of_one_time(self, mogreps):
        (forecast, *_), (analysis, *_) = mogreps
        scores = verify(forecast, analysis, baseline=None).squeeze("system")
        mean, truth = forecast.air_temperature.mean("realization"), analysis.air_temperature
        expected = float(np.sqrt(((mean - truth).astype(float) ** 2).mean()))
        assert scores.rmse.item() == pytest.approx(expected, rel=1e-5)
        assert 0.3 < scores.spread_skill_ratio.item() < 1.5
        assert scores.crps_fair.item() < scores.crps.item() < scores.mae.item()

    def test_several_days(self, mogreps):
        forecast, analysis = (
            xr.concat(
                [ds.air_temperature.drop_vars("forecast_reference_time") for ds in part],
                "time",
                join="override",
                coords="minimal",
            )
            for part in mogreps
        )
        whole = verify(forecast, analysis, baseline=forecast.isel(realization=0, drop=True))
        parts = verify(
            forecast.chunk({"realization": 5, "projection_y_coordinate": 64}),
            analysis.chunk({"time": 1}),
            baseline=forecast.isel(realization=0, drop=True),
        )
        assert_same_scores(parts, whole)
        oracle = xs.crps_ensemble(analysis, forecast, member_dim="realization")
        assert whole.crps.sel(system="forecast").item() == pytest.approx(oracle.item(), rel=1e-5)
        # The mean of an ensemble beats one of its members.
        assert whole.rmse[0].item() < whole.rmse[1].item()

    def test_the_wrong_day(self, mogreps):
        (first, *_), (_, second, *_) = mogreps
        with pytest.raises(AxisError, match="no time in common"):
            verify(first, second, baseline=None)
