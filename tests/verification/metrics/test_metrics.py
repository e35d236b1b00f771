"""The registry: a score is said in one place and seen everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from xdeepr.cli import main
from xdeepr.errors import OptionError
from xdeepr.plotting import plot_scores
from xdeepr.verification import METRICS, Metric, metric, score_table, verify
from xdeepr.verification.metrics import Mean, Statistic


@pytest.fixture
def worst(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A score that nobody has heard of, added in one place: mean of the fourth power of errors."""
    fourth = Statistic(
        lambda pair: {"fourth_power": (pair.forecast - pair.reference) ** 4}, needs="cell"
    )
    added = Metric(
        "rmqe",
        "root-mean-quartic error",
        label="RMQE",
        units="field",
        better="lower",
        statistics=(fourth,),
        score=Mean("fourth_power", power=4),
    )
    monkeypatch.setitem(METRICS, added.name, added)
    return added


def test_a_new_score_is_seen_everywhere(worst, ensemble, truth, smooth, tmp_path, capsys):
    scores = verify(ensemble, truth, baseline=smooth, weights=None)
    error = ensemble.mean("realization") - truth
    assert scores.rmqe[0].item() == pytest.approx(float((error**4).mean()) ** 0.25)
    assert scores.rmqe.attrs == {"long_name": "root-mean-quartic error", "units": "K"}
    row = next(r for r in score_table(scores).splitlines() if r.startswith("RMQE"))
    assert row.split()[1] == "K"
    assert f"{scores.rmqe[0].item():.4f}" in row
    assert row.endswith("%")
    figure = plot_scores(scores)
    assert "RMQE" in [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    for name, field in {"forecast": ensemble, "truth": truth}.items():
        field.to_netcdf(tmp_path / f"{name}.nc")
    paths = [str(tmp_path / f"{name}.nc") for name in ("forecast", "truth")]
    assert main(["verify", *paths, "--baseline", "none", "--quiet"]) == 0
    assert "RMQE" in capsys.readouterr().out


def test_names_are_keys():
    assert [entry.name for entry in METRICS.values()] == list(METRICS)


def test_the_how_to_names_each_score():
    page = Path(__file__).parents[3] / "docs" / "howto" / "verification.md"
    if not page.exists():
        pytest.skip("docs/ is not here: an installed package")
    text = page.read_text(encoding="utf-8")
    assert [name for name in METRICS if f"`{name}`" not in text] == []


def test_the_help_of_the_command_names_each_score(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit):
        main(["verify", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    missing = [e.name for e in METRICS.values() if f"{e.name} ({e.long_name})" not in said]
    assert missing == []


def test_an_unknown_name_raises_with_the_nearest(ensemble, truth):
    with pytest.raises(OptionError, match=r"metric='crsp' is not one of.*'crps'"):
        metric("crsp")
    with pytest.raises(OptionError, match=r"metric='energy' is not one of.*'energy_score'"):
        verify(ensemble, truth, baseline=None, metrics=["rmse", "energy"])


def test_chosen_scores_alone_in_the_order_of_the_registry(ensemble, truth):
    scores = verify(ensemble, truth, baseline=None, metrics=("crps", "rmse"))
    assert list(scores.data_vars) == ["rmse", "crps", "count"]
    usual = verify(ensemble, truth, baseline=None)
    xr.testing.assert_equal(scores, usual[["rmse", "crps", "count"]])


def test_scores_that_cannot_be_are_not_left_out_in_silence(ensemble, truth, smooth):
    with pytest.raises(OptionError, match=r"'spread_skill_ratio' needs an ensemble.*members="):
        verify(smooth, truth, baseline=None, metrics=["spread_skill_ratio"])
    with pytest.raises(OptionError, match=r"'energy_score' is a score of whole fields"):
        verify(ensemble, truth, baseline=None, metrics=["energy_score"], dim="time")


def test_a_score_with_a_dimension_is_drawn_as_a_curve(ensemble, truth, smooth, monkeypatch):
    spectrum = Statistic(
        lambda pair: {
            "power": xr.apply_ufunc(
                lambda field: np.abs(np.fft.rfft(field)) ** 2,
                pair.forecast - pair.reference,
                input_core_dims=[[pair.horizontal[1]]],
                output_core_dims=[["wavenumber"]],
                dask="parallelized",
                output_dtypes=[float],
                dask_gufunc_kwargs={"output_sizes": {"wavenumber": 6}},
            )
            .mean(pair.horizontal[0])
            .assign_coords(wavenumber=range(6))
        },
        needs="field",
    )
    added = Metric(
        "error_spectrum", "spectrum of the error along x", label="error spectrum", units="field",
        better="lower", statistics=(spectrum,), score=lambda means: means["power"],
        dims=("wavenumber",),
    )  # fmt: skip
    monkeypatch.setitem(METRICS, added.name, added)
    scores = verify(smooth, truth, baseline=None)
    assert scores.error_spectrum.sizes == {"system": 1, "wavenumber": 6}
    expected = (np.abs(np.fft.rfft((smooth - truth).values)) ** 2).mean((0, 1))
    np.testing.assert_allclose(scores.error_spectrum[0], expected)
    assert "wavenumber / 1" in [ax.get_xlabel() for ax in plot_scores(scores).axes]
    assert "error spectrum" not in score_table(scores)
