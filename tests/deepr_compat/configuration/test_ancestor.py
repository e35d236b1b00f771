"""The ancestor's own configurations on a small region of the data they expect.

Its ERA5 lies at whole quarters of a degree and its CERRA from 37.00 °N and 6.85 °W in steps of
0.05°, so that the first row of labels begins inside of a coarse cell.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr
from tests.deepr_compat.checkpoints import folders
from tests.deepr_compat.configuration.conftest import (
    BASELINE,
    DIFFUSION,
    change,
    end2end,
    evaluation,
)
from tests.networks.helpers import of_deepr
from xdeepr.deepr_compat.configuration.workflow import Outcome, run
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.models.card import Card
from xdeepr.networks.conv_baseline import ConvBaseline
from xdeepr.sampling.schedules import as_schedule
from xdeepr.testing import assert_same_field

PARAMETERS = "training_configuration.training_parameters"
MODEL = "training_configuration.model_configuration"
PERIOD = {"start": "1985-01", "end": "1985-01", "frequency": "MS"}
EDGE = 48
"""Rows and columns of the labels."""

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes; they are returned too


def field(latitude: np.ndarray, longitude: np.ndarray, name: str = "t2m") -> xr.Dataset:
    """A smooth field of 24 times, warmer at noon."""
    time = np.datetime64("1985-01-01", "ns") + np.arange(24) * np.timedelta64(3, "h")
    noon = np.sin(np.arange(24) * np.pi / 4)[:, None, None]
    waves = np.add.outer(np.sin(5 * latitude), np.cos(4 * longitude))
    values = (280 + 3 * noon + 2 * waves).astype("float32")
    ds = xr.Dataset(
        {name: (("time", "latitude", "longitude"), values, {"units": "K"})},
        {"time": time, "latitude": latitude, "longitude": longitude},
    )
    ds.latitude.attrs.update(standard_name="latitude", units="degrees_north")
    ds.longitude.attrs.update(standard_name="longitude", units="degrees_east")
    return ds


@pytest.fixture
def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ancestor's folders, with six coarse cells around the labels."""
    monkeypatch.chdir(tmp_path)
    fine = 37.0 + 0.05 * np.arange(EDGE), -6.85 + 0.05 * np.arange(EDGE)
    coarse = 35.5 + 0.25 * np.arange(EDGE // 5 + 14), -8.25 + 0.25 * np.arange(EDGE // 5 + 14)
    for name, axes, resolution in (("era5", coarse, "025deg"), ("cerra", fine, "005deg")):
        (tmp_path / name).mkdir()
        field(*axes).to_netcdf(tmp_path / name / f"t2m_{name}_198501_{resolution}.nc")
        statics = field(*axes, "z").isel(time=0, drop=True).assign_attrs(units="m2 s-2")
        statics["z"].attrs = {"units": "m2 s-2", "standard_name": "geopotential"}
        statics["lsm"] = (statics.z > 280).astype("float32")
        statics["lsm"].attrs = {"units": "1"}
        statics.to_netcdf(tmp_path / f"statics_{name}.nc")
    return tmp_path


def here(whole: dict[str, Any]) -> dict[str, Any]:
    """A configuration of the ancestor with the paths of the region, and few steps."""
    data = whole["data_configuration"]
    for name, source in (("features_configuration", "era5"), ("label_configuration", "cerra")):
        section = data[name]
        section["data_dir" if "data_dir" in section else "data_location"] = source
        section.pop("spatial_coverage")
        for key in ("land_mask_location", "orography_location"):
            if key in section:
                section[key] = f"statics_{source}.nc"
    data.pop("split_coverages", None)
    data["common_configuration"] = {
        "temporal_coverage": PERIOD, "data_split": {"test": 0.09, "validation": 0.05}
    }  # fmt: skip
    parameters = whole["training_configuration"].get("training_parameters")
    if parameters is not None:
        parameters |= {"max_steps": 2, "gradient_accumulation_steps": 1, "batch_size": 4}
    return whole


def silently(whole: dict[str, Any]) -> Outcome:
    return run(whole, progress=False)


def test_nn_bicubic(region: Path) -> None:
    """Its network takes whole coarse cells only, so the labels are cut to these, with a note."""
    whole = here(end2end("ConvBaseline", copy.deepcopy(BASELINE)))
    outcome = silently({**whole, "validation_configuration": {}})
    assert outcome.model is not None and outcome.scores is not None
    assert outcome.model.card.factor == 5
    assert any("cut to 45 × 45 cells" in note for note in outcome.notes)
    assert np.isfinite(outcome.scores.rmse).all()
    with xr.open_dataset(region / "model-evaluation" / "prediction.nc") as ds:
        np.testing.assert_allclose(ds.latitude, 37.15 + 0.05 * np.arange(45), atol=1e-6)


def test_nn_bicubic_on_too_small_a_region(region: Path) -> None:
    whole = here(end2end("ConvBaseline", copy.deepcopy(BASELINE)))
    box = {"longitude": [-6.85, -5.5], "latitude": [37.0, 38.0]}
    change(whole, "data_configuration.label_configuration.spatial_coverage", box)
    with pytest.raises(OptionError, match="windows of at least 40 HR pixels"):
        silently(whole)


def test_diffusion(region: Path) -> None:
    """It predicts the noise up to pure noise: the last level stays just below, also in the card."""
    whole = here(copy.deepcopy(DIFFUSION))
    change(whole, f"{MODEL}.eps_model.kwargs.sample_size", [20, 32])
    whole["validation_configuration"] = {"inference_steps": 3}
    outcome = silently(whole)
    assert outcome.model is not None and outcome.scores is not None
    assert any("the last level is kept just below it" in note for note in outcome.notes)
    assert any("sample_size is 20 × 32, the data have 48 × 48" in note for note in outcome.notes)
    assert np.isfinite(outcome.scores.rmse).all()
    card = outcome.model.card
    levels = as_schedule(card.diffusion.schedule)
    assert (card.diffusion.prediction, levels.zero_snr, len(levels)) == ("epsilon", False, 1000)
    np.testing.assert_allclose(levels.sigmas, as_schedule({"rescale_betas_zero_snr": True}).sigmas)
    # a trained model may be given the same scheduler again: the levels agree
    again = copy.deepcopy(whole)
    network = {"class_name": "cddpm", "trained_model_dir": "model"}
    again["training_configuration"]["model_configuration"] = {
        "neural_network": network,
        "scheduler": whole["training_configuration"]["model_configuration"]["scheduler"],
    }
    again["validation_configuration"]["output_directory"] = "again"
    repeated = silently(again)
    assert repeated.scores is not None
    assert_same_field(repeated.scores.rmse, outcome.scores.rmse)


# --- models of its own in a local folder --------------------------------------------------


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A network that the ancestor saved, and its evaluation on the domain it was trained on."""
    monkeypatch.chdir(tmp_path)
    network = folders.roughen(of_deepr(ConvBaseline, folders.BASELINE))
    folders.write_regression(tmp_path / "theirs", network, folders.BASELINE)
    lr = folders.lr_dataset(shape=folders.INPUT_SHAPE)
    lr.to_netcdf(tmp_path / "coarse.nc")
    hr = xdeepr.downscale(lr, "bicubic", factor=folders.LR_FACTOR)
    hr.isel(latitude=slice(6, -6), longitude=slice(6, -6))[["t2m"]].to_netcdf(tmp_path / "fine.nc")
    whole = evaluation()
    whole["data_configuration"] = {
        "features_configuration": {"variables": ["t2m"], "data_dir": "coarse.nc"},
        "label_configuration": {"variable": "t2m", "data_dir": "fine.nc"},
    }
    part = {"class_name": "ConvBaseline", "trained_model_dir": "theirs"}
    return change(whole, f"{MODEL}.neural_network", part)


def test_nn_evaluation_of_a_local_folder(published: dict[str, Any], tmp_path: Path) -> None:
    outcome = silently(published)
    assert outcome.scores is not None and outcome.model is not None
    lr = xr.open_dataset("coarse.nc")
    model = xdeepr.from_deepr("theirs", lr_grid=lr, predictors={"t2m": dict(lr.t2m.attrs)})
    with xr.open_dataset("theirs-evaluation/prediction.nc") as ds:
        assert_same_field(ds.t2m, xdeepr.downscale(lr, model).t2m)
    assert isinstance(outcome.model.card, Card) and outcome.model.card.kind == "regression"


def test_the_folder_must_be_what_is_said_of_it(published: dict[str, Any]) -> None:
    change(published, f"{MODEL}.neural_network.class_name", "ConvSwin2SR")
    with pytest.raises(OptionError, match="'published-conv-baseline', but class_name means"):
        silently(published)


def test_what_a_folder_lacks_is_named(published: dict[str, Any]) -> None:
    Path("theirs/training_scale.json").unlink()
    with pytest.raises(CheckpointError, match="normalization="):
        silently(published)


def test_a_diffusion_model_in_a_local_folder(published: dict[str, Any], tmp_path: Path) -> None:
    """Hour, target and normalization are those of its training_parameters."""
    folders.write_diffusion(tmp_path / "drawn", folders.unet())
    lr = folders.lr_dataset()
    lr.to_netcdf(tmp_path / "coarse.nc")
    hr = xdeepr.downscale(lr, "bicubic", factor=folders.FACTOR)
    hr.isel(latitude=slice(8, -8), longitude=slice(8, -8))[["t2m"]].to_netcdf(tmp_path / "fine.nc")
    published["training_configuration"] = {
        "type": "diffusion",
        "model_configuration": {
            "eps_model": {"class_name": "diffusers.UNet2DModel", "trained_model_dir": "drawn"}
        },
        "training_parameters": {
            "output_dir": "unused", "instance_norm": True, "hour_embed_type": "class"
        },
    }  # fmt: skip
    published["validation_configuration"] = {"inference_steps": 2}
    outcome = silently(published)
    assert outcome.model is not None and outcome.scores is not None
    card = outcome.model.card
    assert dict(card.time_features) == {"hour": "class"}
    assert (card.target, card.normalization["predictors"].method) == ("field", "instance")
    assert np.isfinite(outcome.scores.rmse).all()
