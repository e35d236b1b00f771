"""Maps: which panels there are, with units and on which scale, from synthetic and real fields."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdeepr.errors import OptionError, VariableError
from xdeepr.grids.coarsening import coarsen
from xdeepr.plotting import plot_downscaling


def titles(figure) -> list[str]:
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def labels(figure) -> str:
    return " | ".join(f"{ax.get_xlabel()} | {ax.get_ylabel()}" for ax in figure.axes)


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
