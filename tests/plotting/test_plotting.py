"""Figures: what is in them, with units, from synthetic and real fields."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xdeepr.errors import OptionError, VariableError
from xdeepr.grids.coarsening import coarsen
from xdeepr.plotting import plot_downscaling, plot_rank_histogram, plot_scores, plot_training
from xdeepr.verification import verify

pytest.importorskip("matplotlib")


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def labels(figure) -> str:
    return " | ".join(f"{ax.get_xlabel()} | {ax.get_ylabel()}" for ax in figure.axes)


@pytest.fixture
def save(tmp_path):
    def check(figure) -> None:
        path = tmp_path / "figure.png"
        figure.savefig(path, dpi=50)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.stat().st_size > 5000

    return check


@pytest.fixture
def truth() -> xr.DataArray:
    y, x = np.meshgrid(np.linspace(0, 6, 24), np.linspace(0, 9, 32), indexing="ij")
    phase = np.arange(3)[:, np.newaxis, np.newaxis]
    return xr.DataArray(
        285 + 5 * np.sin(x + phase) * np.cos(y),
        dims=("time", "lat", "lon"),
        coords={
            "time": pd.date_range("2022-06-01", periods=3, freq="6h"),
            "lat": ("lat", 46 - 0.25 * np.arange(24), {"units": "degrees_north"}),
            "lon": ("lon", (356 + 0.25 * np.arange(32)) % 360, {"units": "degrees_east"}),
        },
        name="t2m",
        attrs={"units": "K", "standard_name": "air_temperature"},
    )


@pytest.fixture
def forecast(truth) -> xr.DataArray:
    noise = np.random.default_rng(3).normal(0, 0.5, (4, *truth.shape))
    members = xr.DataArray(noise, dims=("realization", *truth.dims)) + truth
    return members.assign_coords(realization=range(4)).assign_attrs(truth.attrs).rename("t2m")


@pytest.fixture
def scores(forecast, truth) -> xr.Dataset:
    return verify(forecast, truth, baseline=truth.shift(lon=1, fill_value=285.0))


class TestMaps:
    def test_all_panels(self, forecast, truth, save):
        figure = plot_downscaling(coarsen(truth, 4), forecast.chunk({"time": 1}), truth, time=1)
        assert titles(figure) == [
            "input",
            "realization 1",
            "realization 2",
            "ensemble mean",
            "spread",
            "truth",
        ]
        assert "t2m / K" in labels(figure)
        assert "spread / K" in labels(figure)
        assert "longitude" in labels(figure)
        save(figure)

    def test_one_colour_scale_for_all_fields_and_its_own_for_the_spread(self, forecast, truth):
        figure = plot_downscaling(coarsen(truth, 4), forecast, truth)
        limits = {ax.get_title(): ax.collections[0].get_clim() for ax in figure.axes[:6]}
        spread = limits.pop("spread")
        assert len(set(limits.values())) == 1
        assert spread[0] == 0
        assert spread[1] < 3

    def test_ticks_are_degrees_also_across_greenwich(self, forecast, truth):
        figure = plot_downscaling(coarsen(truth, 4), forecast, truth)
        figure.draw_without_rendering()
        ticks = [t.get_text() for t in figure.axes[3].get_xticklabels()]
        assert any(t.endswith("°W") for t in ticks)
        assert any(t.endswith("°E") for t in ticks)

    def test_north_is_up_and_cells_are_square(self, forecast, truth):
        figure = plot_downscaling(coarsen(truth, 4), forecast, truth)
        ax = figure.axes[5]
        assert ax.get_ylim()[0] < ax.get_ylim()[1]
        top_row = ax.collections[0].get_array()[-1]
        np.testing.assert_allclose(top_row, truth.isel(time=0, lat=0))
        assert ax.get_aspect() == pytest.approx(1 / np.cos(np.deg2rad(43)), rel=0.01)

    def test_single_field_in_other_units_than_the_truth(self, truth, save):
        celsius = (truth - 273.15).assign_attrs(truth.attrs | {"units": "degC"}).rename("t2m")
        figure = plot_downscaling(coarsen(truth, 2), celsius, truth, time="2022-06-01T06:00")
        assert titles(figure) == ["input", "downscaled", "truth"]
        image = figure.axes[2].collections[0].get_array()
        np.testing.assert_allclose(image[-1], truth.isel(time=1, lat=0) - 273.15)
        save(figure)

    def test_without_truth_and_with_more_members(self, forecast, truth):
        figure = plot_downscaling(coarsen(truth, 4), forecast, members=4)
        assert len(titles(figure)) == 7

    def test_only_the_shown_time_is_computed(self, forecast, truth):
        def fail_elsewhere(block, block_info=None):
            assert block_info[None]["chunk-location"][1] == 2, "computed another time"
            return block

        lazy = forecast.chunk({"time": 1})
        data = lazy.data.map_blocks(fail_elsewhere, dtype=float, meta=np.empty((0,) * 4))
        plot_downscaling(coarsen(truth, 4), lazy.copy(data=data), time=-1)

    def test_time_that_is_not_there(self, forecast, truth):
        for time in (7, "2031-01-01", "yesterday"):
            with pytest.raises(OptionError, match="time="):
                plot_downscaling(coarsen(truth, 4), forecast, truth, time=time)
        with pytest.raises(OptionError, match="reference has no time"):
            plot_downscaling(coarsen(truth, 4), forecast, truth[1:], time=0)

    def test_variable_that_is_not_there(self, forecast, truth):
        with pytest.raises(VariableError, match=r"'wind'.*'t2m'"):
            plot_downscaling(truth, forecast.to_dataset(), variable="wind")

    def test_coast_and_terrain_from_statics(self, forecast, truth, save):
        land = (truth[0] > 285).astype(float).assign_attrs(standard_name="land_binary_mask")
        height = (200 * (truth[0] - 280)).clip(0).assign_attrs(standard_name="surface_altitude")
        statics = xr.Dataset({"mask": land, "height": height})
        with_statics = plot_downscaling(coarsen(truth, 4), forecast, truth, statics=statics)
        without = plot_downscaling(coarsen(truth, 4), forecast, truth)
        added = [
            len(a.collections) - len(b.collections)
            for a, b in zip(with_statics.axes[:6], without.axes[:6], strict=True)
        ]
        assert added == [2] * 6
        save(with_statics)

    def test_statics_that_do_not_fit_are_left_out(self, forecast, truth):
        far = truth[0].assign_coords(lat=truth.lat.copy(data=truth.lat - 100)).rename("lsm")
        plain = xr.DataArray(np.ones((3, 3)), dims=("a", "b"), name="orog")
        for statics in (far.to_dataset(), plain.to_dataset(), xr.Dataset()):
            figure = plot_downscaling(coarsen(truth, 4), forecast, statics=statics)
            assert len(figure.axes[0].collections) == 1

    def test_era5_italy_with_its_coast_and_geopotential(self, data_dir, save):
        folder = data_dir / "era5"
        hr = xr.open_dataset(folder / "era5_t2m_italy_3h_20220501_20220630.nc").t2m
        hr = hr.isel(time=slice(0, 2), latitude=slice(0, 40))
        statics = xr.open_dataset(folder / "ERA5_const_sfc_variables.nc")
        figure = plot_downscaling(coarsen(hr, 4), hr, hr, statics=statics)
        assert len(figure.axes[0].collections) == 3
        save(figure)

    def test_mogreps_on_a_projected_grid(self, data_dir, save):
        folder = data_dir / "mogreps-uk"
        hr = xr.open_dataset(folder / "20170602T0300Z-PT0012H-temperature_at_screen_level.nc")
        truth = xr.open_dataset(folder / "UKV_analysis_20170602T1500Z-temperature.nc")
        statics = xr.open_dataset(folder / "static_land_binary_mask_200x200.nc")
        lr = coarsen(hr.air_temperature.isel(realization=0, drop=True), 4)
        figure = plot_downscaling(lr, hr, truth, statics=statics)
        assert "projected x / km" in labels(figure)
        assert figure.axes[0].get_xlim() == (-359, 41)
        assert len(figure.axes[0].collections) == 2
        save(figure)


class TestScores:
    def test_bars_and_ranks(self, scores, save):
        figure = plot_scores(scores)
        assert len(figure.axes) == 3
        assert "t2m / K" in labels(figure)
        heights = [bar.get_height() for bar in figure.axes[0].patches]
        assert heights[0] == pytest.approx(float(scores.rmse[0]))
        save(figure)

    def test_two_variables(self, forecast, truth, save):
        both = xr.Dataset({"t2m": forecast, "d2m": forecast})
        scores = verify(both, xr.Dataset({"t2m": truth, "d2m": truth}), baseline=None)
        assert len(plot_scores(scores).axes) == 6
        save(plot_rank_histogram(scores))

    def test_data_are_no_scores(self, truth):
        with pytest.raises(OptionError, match="no scores"):
            plot_scores(truth.to_dataset())

    def test_maps_are_no_bars(self, forecast, truth):
        with pytest.raises(OptionError, match="'lat', 'lon'"):
            plot_scores(verify(forecast, truth, baseline=None, dim="time"))

    def test_rank_histogram(self, scores, save):
        figure = plot_rank_histogram(scores)
        assert "rank of the reference" in labels(figure)
        save(figure)
        assert len(plot_rank_histogram(scores.rank_histogram).axes) == 1

    def test_no_ranks_without_an_ensemble(self, truth):
        with pytest.raises(VariableError, match="members="):
            plot_rank_histogram(verify(truth, truth, baseline=None))


class TestTraining:
    history = pd.DataFrame(
        {
            "step": np.arange(1, 101),
            "train_loss": 1 / np.arange(1, 101),
            "validation_loss": np.where(np.arange(100) % 20 == 19, 0.1, np.nan),
            "learning_rate": np.linspace(1e-3, 0, 100),
        }
    )

    @pytest.mark.parametrize("form", [lambda df: df, xr.Dataset.from_dataframe, dict])
    def test_losses_and_learning_rate(self, form, save):
        figure = plot_training(form(self.history))
        assert "loss / 1" in labels(figure)
        assert "learning rate / 1" in labels(figure)
        assert len(figure.axes[0].lines) == 2
        save(figure)

    def test_step_as_the_coordinate_of_a_dataset(self):
        history = xr.Dataset.from_dataframe(self.history.set_index("step"))
        assert len(plot_training(history).axes) == 2

    def test_only_a_training_loss(self):
        assert len(plot_training(self.history[["step", "train_loss"]]).axes) == 1

    def test_missing_column(self):
        with pytest.raises(VariableError, match="'train_loss'"):
            plot_training({"step": [1, 2]})


def test_figures_show_themselves_without_pyplot():
    code = (
        "import sys; from xdeepr.plotting import plot_training\n"
        "assert 'matplotlib' not in sys.modules\n"
        "figure = plot_training({'step': [1, 2], 'train_loss': [1.0, 0.5]})\n"
        "assert figure._repr_png_().startswith(b'\\x89PNG')\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
