"""Charts of scores, ranks and training: what is in them, with units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from xdeepr.errors import OptionError, VariableError
from xdeepr.plotting import plot_rank_histogram, plot_scores, plot_training
from xdeepr.verification import verify


def labels(figure) -> str:
    return " | ".join(f"{ax.get_xlabel()} | {ax.get_ylabel()}" for ax in figure.axes)


@pytest.fixture
def scores(forecast, truth) -> xr.Dataset:
    return verify(forecast, truth, baseline=truth.shift(lon=1, fill_value=285.0))


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
