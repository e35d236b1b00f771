"""Score tables as text."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from xdeepr.errors import OptionError
from xdeepr.verification import score_table, verify


@pytest.fixture
def scores(ensemble, truth, smooth) -> xr.Dataset:
    return verify(ensemble, truth, baseline=smooth, extra={"optimum": ensemble - 0.01})


def test_table_tells_units_systems_and_improvement(scores):
    text = score_table(scores)
    title, head, rule, *rows = text.splitlines()
    assert title == "t2m, 960 points"
    assert head.split() == ["forecast", "baseline", "optimum", "improvement"]
    assert set(rule) == {"-"}
    assert [row.split()[0] for row in rows[:4]] == ["RMSE", "MAE", "bias", "correlation"]
    assert all(row.split()[1] == "K" for row in rows[:3])
    better = 100 * (1 - scores.rmse[0].item() / scores.rmse[1].item())
    assert rows[0].endswith(f"{better:+.1f} %")
    assert max(map(len, text.splitlines())) <= 100


def test_scores_that_do_not_exist_are_dashes(scores):
    row = next(r for r in score_table(scores).splitlines() if r.startswith("spread-skill"))
    assert row.split()[4] == "-"  # two words of heading, units, forecast, baseline


def test_systems_put_together_afterwards(ensemble, truth, smooth):
    first = verify(ensemble, truth, baseline=smooth)
    second = verify(ensemble, truth, baseline=None).assign_coords(system=["again"])
    text = score_table(xr.concat([first, second], "system", data_vars="minimal"))
    assert "again" in text


def test_no_improvement_without_a_baseline(ensemble, truth):
    assert "improvement" not in score_table(verify(ensemble, truth, baseline=None))


def test_two_variables_are_two_tables(ensemble, truth):
    forecast = xr.Dataset({"t2m": ensemble, "d2m": ensemble + 1.0})
    forecast["d2m"].attrs = ensemble.attrs
    reference = xr.Dataset({"t2m": truth, "d2m": truth})
    text = score_table(verify(forecast, reference, baseline=None))
    assert text.count("RMSE") == 2
    assert text.count(" K ") >= 6


def test_very_small_values_keep_their_digits(make_field):
    truth = make_field(np.zeros((1, 4, 4)), name="pr", units="kg m-2 s-1")
    text = score_table(verify((truth + 3.25e-5).assign_attrs(truth.attrs), truth, baseline=None))
    assert "3.250e-05" in text


def test_maps_are_no_table(ensemble, truth):
    with pytest.raises(OptionError, match=r"'latitude', 'longitude'.*dim=None"):
        score_table(verify(ensemble, truth, baseline=None, dim="time"))


def test_data_are_no_scores(truth):
    with pytest.raises(OptionError, match="no scores"):
        score_table(truth.to_dataset())


def test_unknown_baseline(scores):
    with pytest.raises(OptionError, match="'bicubic' is not among"):
        score_table(scores, baseline="bicubic")
