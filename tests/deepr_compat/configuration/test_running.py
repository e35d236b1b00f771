"""`run` from YAML to scores: tiny networks, a few steps, some days of ERA5 over Italy."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml

import xdeepr
from tests import fake_hub
from tests.deepr_compat.configuration.conftest import EXAMPLES, change
from xdeepr.cli import main
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.deepr_compat.configuration.workflow import Outcome, run
from xdeepr.errors import GridError, OptionError

PERIODS = {
    "train": {"start": "2022-05-01", "end": "2022-05-03"},
    "validation": {"start": "2022-05-05", "end": "2022-05-05"},
    "test": {"start": "2022-05-07", "end": "2022-05-07"},
}
BOX = {"longitude": [8.0, 13.95], "latitude": [44.95, 41.0]}  # 16 × 24 cells
LABELS = "data_configuration.label_configuration"
PARAMETERS = "training_configuration.training_parameters"
MODEL = "training_configuration.model_configuration"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes; they are returned too


@pytest.fixture(autouse=True)
def workplace(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for the outputs, and the data where the examples look for them."""
    monkeypatch.setenv("XDEEPR_DATA_DIR", str(data_dir))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


def small(name: str) -> dict[str, Any]:
    """An example on some days and cells, with a tiny network and three steps."""
    whole: dict[str, Any] = yaml.safe_load((EXAMPLES / f"{name}.yml").read_text())
    data = whole["data_configuration"]
    data["label_configuration"]["spatial_coverage"] = BOX
    if "split_coverages" in data:
        data["split_coverages"] = {k: PERIODS[k] for k in data["split_coverages"]}
    else:
        period = data["common_configuration"]["temporal_coverage"]
        period |= {"start": "2022-05-01", "end": "2022-05-05"}
    training = whole.get("training_configuration")
    if training is not None:
        training["training_parameters"] |= {"max_steps": 3, "batch_size": 4}
        for part in training["model_configuration"].values():
            kwargs = part.get("kwargs", {})
            if "block_out_channels" in kwargs:
                levels = len(kwargs["block_out_channels"])
                kwargs |= {"block_out_channels": levels * [8], "norm_num_groups": 4}
            if "embed_dim" in kwargs:
                kwargs |= {"embed_dim": 8, "depths": [2], "num_heads": [2]}
            if "upblock_channels" in kwargs:
                kwargs["upblock_channels"] = [4, 4]
    for section in ("validation_configuration", "inference_configuration"):
        if "inference_steps" in whole.get(section, {}):
            whole[section] |= {"inference_steps": 2, "members": 2}
    return whole


def silently(config: Any, **options: Any) -> Outcome:
    return run(config, progress=False, **options)


KINDS = sorted(path.stem for path in EXAMPLES.glob("*.yml"))


@pytest.mark.parametrize("name", KINDS)
def test_every_example_runs(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if name == "swin2sr" and importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    whole = small(name)
    whole.get("validation_configuration", {}).pop("visualizations", None)  # below
    outcome = silently(whole)
    assert capfd.readouterr() == ("", "")
    trained = "training_configuration" in whole
    assert (outcome.model is not None) is trained
    assert (outcome.checkpoint is not None) is trained
    if outcome.checkpoint is not None:
        kept = xdeepr.load(outcome.checkpoint)
        assert outcome.model is not None
        assert kept.card.to_json() == outcome.model.card.to_json()
        assert kept.card.name == Path(whole["training_configuration"]["training_parameters"]
                                      ["output_dir"]).name  # fmt: skip
    validated = "validation_configuration" in whole
    assert (outcome.scores is not None) is validated
    assert all(path.is_file() for path in outcome.outputs)
    if outcome.scores is not None:
        folder = tmp_path / whole["validation_configuration"]["output_directory"]
        assert {"prediction.nc", "scores.nc", "scores.txt"} <= {p.name for p in folder.iterdir()}
        assert np.isfinite(outcome.scores.rmse).all()
        assert "RMSE" in (folder / "scores.txt").read_text()
        assert str(outcome.scores.system.values[1]) in str(outcome)
    assert str(outcome)


@pytest.mark.slow
def test_the_pictures_and_maps_that_are_asked_for(tmp_path: Path) -> None:
    whole = small("diffusion")
    outcome = silently(whole)
    names = {path.name for path in outcome.outputs}
    assert {"score_maps.nc", "scores_by_hour.nc", "map_rmse_t2m.png", "rose_mae_t2m.png",
            "sample_01.png", "sample_02.png"} <= names  # fmt: skip
    assert "sample_03.png" not in names
    folder = tmp_path / "italy-diffusion-evaluation"
    maps, hours = (xr.open_dataset(folder / f"score{n}.nc") for n in ("_maps", "s_by_hour"))
    assert outcome.scores is not None
    weights = np.cos(np.deg2rad(maps.latitude))
    total = np.sqrt((maps.rmse**2).weighted(weights).mean(("latitude", "longitude")))
    np.testing.assert_allclose(total, outcome.scores.rmse, rtol=1e-3)
    # each hour has as many times as the others
    np.testing.assert_allclose(
        np.sqrt((hours.rmse**2).mean("hour")), outcome.scores.rmse, rtol=1e-5
    )
    assert list(hours.hour.values) == list(range(0, 24, 3))


def test_a_bicubic_evaluation_is_what_the_verbs_give(data_dir: Path) -> None:
    whole = small("bicubic_evaluation")
    del whole["validation_configuration"]["visualizations"]
    outcome = silently(whole)
    with xr.open_dataset(data_dir / "era5/era5_t2m_italy_3h_20220501_20220630.nc") as ds:
        hr = ds.sel(longitude=slice(8, 13.95), latitude=slice(44.95, 41)).astype("float32")
        hr = hr.isel(time=hr.time.dt.date == np.datetime64("2022-05-07").astype(object)).load()
    lr = xdeepr.coarsen(hr, 4)
    expected = xdeepr.downscale(lr, "bicubic", like=hr)
    with xr.open_dataset(outcome.outputs[0]) as written:
        np.testing.assert_allclose(written.t2m, expected.t2m, atol=1e-3)
    scores = xdeepr.verify(expected, hr, baseline="bilinear", predictor=lr)
    assert outcome.scores is not None
    np.testing.assert_allclose(outcome.scores.rmse, scores.rmse, rtol=1e-4)


# --- a trained model ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], Path, Path]:
    """A tiny diffusion model: the configuration that made it, its folder, and its forecast."""
    folder = tmp_path_factory.mktemp("trained")
    whole = small("diffusion")
    whole["validation_configuration"].pop("visualizations")
    change(whole, f"{PARAMETERS}.output_dir", str(folder / "model"))
    change(whole, "validation_configuration.output_directory", str(folder / "evaluation"))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("XDEEPR_DATA_DIR", str(data_dir))
        outcome = silently(whole)
    assert outcome.checkpoint is not None
    return whole, outcome.checkpoint, folder / "evaluation" / "prediction.nc"


Trained = tuple[dict[str, Any], Path, Path]


def evaluating(whole: dict[str, Any], model: Any, **section: Any) -> dict[str, Any]:
    """The same data and settings, with a model that is there already."""
    other = copy.deepcopy(whole)
    network = {"class_name": "cddpm", "trained_model_dir": str(model)}
    other["training_configuration"] = {
        "type": "diffusion", "model_configuration": {"neural_network": network}
    }  # fmt: skip
    other["validation_configuration"] |= {"output_directory": "again", **section}
    return other


def test_a_saved_model_gives_the_same_forecast(trained: Trained, tmp_path: Path) -> None:
    whole, model, predicted = trained
    second = silently(evaluating(whole, model))
    assert second.checkpoint is None
    one, two = (xr.open_dataset(p) for p in (predicted, tmp_path / "again" / "prediction.nc"))
    xr.testing.assert_equal(one, two)
    assert one.sizes["realization"] == 2
    # from the evaluation alone, without the section of the training
    third = evaluating(whole, model, output_directory="third")
    del third["training_configuration"]
    third["validation_configuration"]["model"] = str(model)
    silently(third)
    xr.testing.assert_equal(one, xr.open_dataset(tmp_path / "third" / "prediction.nc"))


def test_a_trained_model_alone_is_validated(trained: Trained) -> None:
    whole, model, _ = trained
    other = evaluating(whole, model)
    del other["validation_configuration"]
    other["data_configuration"]["split_coverages"]["test"]["start"] = "2022-05-07T18"
    other["training_configuration"]["model_configuration"]["scheduler"] = {
        "class_name": "EDMDPMSolverMultistepScheduler"
    }
    outcome = silently(other)
    assert outcome.scores is not None
    assert outcome.outputs[0].parent.name == "model-evaluation"


def test_a_scheduler_changes_the_solver_of_a_trained_model(
    trained: Trained, tmp_path: Path
) -> None:
    whole, model, _ = trained
    other = evaluating(whole, model)
    scheduler = copy.deepcopy(whole["training_configuration"]["model_configuration"]["scheduler"])
    change(other, f"{MODEL}.scheduler", scheduler)
    scheduler["class_name"] = "DDPMScheduler"
    silently(other)
    with xr.open_dataset(tmp_path / "again" / "prediction.nc") as ds:
        assert "DDPMScheduler" in ds.attrs["history"]
    scheduler["kwargs"]["beta_end"] = 0.5
    with pytest.raises(OptionError, match="noise levels are not those"):
        silently(other, overwrite=True)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("training_configuration.type", "end2end", "is a diffusion model, but .* 'end2end'"),
        (
            f"{MODEL}.neural_network.class_name",
            "UNet",
            "the network of .* is 'unet2d', but class_name",
        ),
        ("validation_configuration.split", "train", None),
        (f"{MODEL}.neural_network.trained_model_dir", "nowhere", "neither a folder nor"),
    ],
)
def test_what_is_said_of_a_trained_model_must_be_true(
    path: str, value: Any, message: str | None, trained: Trained
) -> None:
    whole, model, _ = trained
    other = change(evaluating(whole, model), path, value)
    if message is None:
        assert silently(other).scores is not None
        return
    if path.endswith("type"):
        other["training_configuration"]["model_configuration"]["neural_network"]["class_name"] = (
            "ConvBaseline"
        )
    with pytest.raises(OptionError, match=message):
        silently(other)


def test_a_model_may_stand_on_another(workplace: Path) -> None:
    base = small("conv_baseline")
    del base["validation_configuration"]
    base["data_configuration"]["features_configuration"] = {"factor": 4}
    silently(base)
    whole = small("diffusion")
    del whole["validation_configuration"]
    part = {"class_name": "ConvBaseline", "model_dir": "italy-convbaseline"}
    outcome = silently(change(whole, f"{MODEL}.trained_obs_model", part))
    assert outcome.model is not None
    assert "base" in outcome.model.parts
    assert (workplace / "italy-diffusion" / "base" / "card.json").is_file()
    whole["training_configuration"]["training_parameters"]["overwrite_output_dir"] = True
    part["class_name"] = "ConvSwin2SR"
    with pytest.raises(OptionError, match="but class_name means 'conv-swin2sr'"):
        silently(whole)
    part |= {"class_name": "ConvBaseline", "model_dir": "bicubic"}
    with pytest.raises(OptionError, match=r"trained_obs_model.model_dir: 'bicubic'"):
        silently(whole)


def test_overwriting_has_to_be_asked_for(workplace: Path) -> None:
    whole = small("conv_baseline")
    silently(whole)
    with pytest.raises(OptionError, match=r"output_dir: .*exists already: set overwrite"):
        silently(whole)
    change(whole, f"{PARAMETERS}.overwrite_output_dir", True)
    with pytest.raises(OptionError, match=r"scores\.nc exists already"):
        silently(whole)
    change(whole, "validation_configuration.overwrite", True)
    assert silently(whole).scores is not None
    whole["validation_configuration"].pop("overwrite")
    change(whole, f"{PARAMETERS}.overwrite_output_dir", False)
    assert silently(whole, overwrite=True).scores is not None


def test_places_are_checked_before_the_training(workplace: Path) -> None:
    whole = small("latent")
    place = workplace / "italy-latent-predictions" / "prediction_2022-05.nc"
    place.parent.mkdir()
    place.touch()
    with pytest.raises(OptionError, match=r"prediction_2022-05\.nc exists already"):
        silently(whole)
    assert sorted(path.name for path in workplace.iterdir()) == ["italy-latent-predictions"]
    whole["inference_configuration"]["split"] = "train"
    whole["validation_configuration"]["split"] = "test"
    del whole["data_configuration"]["split_coverages"]["test"]
    with pytest.raises(OptionError, match="split is 'test', but data_configuration has only"):
        silently(whole, overwrite=True)


def test_another_folder_is_never_replaced(workplace: Path) -> None:
    (workplace / "italy-diffusion").mkdir()
    with pytest.raises(OptionError, match="choose another name"):
        silently(small("diffusion"), overwrite=True)


# --- predictions --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frequency", "expected"),
    [
        ("all", ["prediction_2022-05-07_2022-05-07.nc"]),
        ("month", ["prediction_2022-05.nc"]),
        ("batch", [f"prediction_2022-05-07T{h:02d}00.nc" for h in (0, 9, 18)]),
    ],
)
def test_predictions_are_cut_into_files(
    frequency: str, expected: list[str], trained: Trained, tmp_path: Path
) -> None:
    whole, model, predicted = trained
    other = evaluating(whole, model)
    del other["validation_configuration"]
    other["inference_configuration"] = {
        "save_freq": frequency, "batch_size": 3, "inference_steps": 2, "num_samples": 2,
        "output_dir": "predictions", "eta": 1.0, "seed": 7,
    }  # fmt: skip
    outcome = silently(other)
    assert [path.name for path in outcome.outputs] == expected
    together = xr.concat(
        [xr.open_dataset(path).t2m for path in outcome.outputs], "time", coords="minimal"
    )
    with xr.open_dataset(predicted) as whole_ds:
        np.testing.assert_allclose(together, whole_ds.t2m, atol=2e-3)


def test_predictions_need_no_labels(trained: Trained, italy_lr: xr.Dataset, tmp_path: Path) -> None:
    _, model, predicted = trained
    with xr.open_dataset(predicted) as fine:
        lr = xdeepr.coarsen(fine.isel(realization=0), 4)
    lr.to_netcdf(tmp_path / "lr.nc")
    outcome = silently(
        {
            "data_configuration": {
                "features_configuration": {"variables": "t2m", "data_location": "lr.nc"}
            },
            "inference_configuration": {"model": str(model), "inference_steps": 2, "batch_size": 4},
        }
    )
    assert [path.parent.name for path in outcome.outputs] == ["model-predictions"]
    assert any("there are no splits" in note for note in outcome.notes)
    with xr.open_dataset(outcome.outputs[0]) as ds:
        assert dict(ds.t2m.sizes) == {"time": 8, "latitude": 16, "longitude": 24}


def test_scores_need_labels(trained: Trained) -> None:
    whole, model, _ = trained
    other = evaluating(whole, model)
    other["data_configuration"] = {
        "features_configuration": {"variables": "t2m", "data_location": "lr.nc"}
    }
    with pytest.raises(OptionError, match="validation_configuration needs the truth"):
        silently(other)


def test_settings_that_do_not_matter_are_said(workplace: Path) -> None:
    whole = small("bicubic_evaluation")
    del whole["validation_configuration"]["visualizations"]
    whole["validation_configuration"] |= {"eta": 0.5, "members": 3, "seed": 1}
    whole["validation_configuration"]["validation_data"] = {"to_save": False}
    outcome = silently(whole)
    for key in ("eta", "members", "seed"):
        assert any(f"validation_configuration.{key} has no effect" in n for n in outcome.notes)
    assert not [path for path in outcome.outputs if path.name == "prediction.nc"]
    assert outcome.scores is not None


def test_a_device_that_is_not_there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    whole = small("conv_baseline")
    del whole["validation_configuration"]
    outcome = silently(change(whole, f"{PARAMETERS}.device", "cuda"))
    assert any(f"{PARAMETERS}.device: 'cuda' is not there" in note for note in outcome.notes)
    change(whole, f"{PARAMETERS}.device", "gpu")
    change(whole, f"{PARAMETERS}.output_dir", "other")
    with pytest.raises(OptionError, match="'gpu' is no device of torch"):
        silently(whole)


# --- data and configuration ---------------------------------------------------------------


def test_files_of_deepr_with_a_margin(
    workplace: Path, italy_hr: xr.Dataset, statics: xr.Dataset
) -> None:
    """Features on a larger domain than labels, by month; scaled over land and over sea."""
    later = italy_hr.assign_coords(time=italy_hr.time + np.timedelta64(31, "D"))
    for month, ds in (("202205", italy_hr), ("202206", later)):
        for name, fields, resolution in (
            ("era5", xdeepr.coarsen(ds, 4), "1deg"), ("cerra", ds, "025deg")
        ):  # fmt: skip
            path = workplace / name / f"t2m_{name}_{month}_{resolution}.nc"
            path.parent.mkdir(exist_ok=True)
            fields.isel(time=slice(0, 8)).to_netcdf(path)
    statics.to_netcdf(workplace / "statics.nc")
    whole = small("conv_baseline")
    scaling = {"to_do": True, "method": "landmask-wise", "cache_folder": "/scales"}
    fields = {"standardization": scaling, "land_mask_location": "statics.nc"}
    whole["data_configuration"] = {
        "features_configuration": {
            "variables": ["t2m"], "data_name": "era5", "spatial_resolution": "1deg",
            "data_location": "era5", **fields,
        },
        "label_configuration": {
            "variable": "t2m", "data_name": "cerra", "spatial_resolution": "025deg",
            "data_location": "cerra", "spatial_coverage": {"longitude": [9.5, 15.5],
            "latitude": [40.0, 43.95]}, **fields,
        },
        "split_coverages": {
            "train": {"start": "2022-05", "end": "2022-05", "frequency": "MS"},
            "test": {"start": "2022-06", "end": "2022-06", "frequency": "MS"},
        },
    }  # fmt: skip
    outcome = silently(whole)
    assert outcome.model is not None and outcome.scores is not None
    card = outcome.model.card
    assert card.factor == 4 and min(card.margin) >= 4
    assert card.normalization["target"].method == "landmask-wise"
    assert card.training["times"] == 8
    assert [q.name for q in card.covariates] == ["lsm"]
    with xr.open_dataset(outcome.outputs[0]) as ds:
        assert str(ds.time.values[0])[:7] == "2022-06"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (f"{MODEL}.eps_model.kwargs.in_channels", 3, r"in_channels is 3.*make it 2 or 4"),
        (f"{MODEL}.eps_model.kwargs.out_channels", 2, r"out_channels is 2"),
        (f"{LABELS}.spatial_coverage", {"longitude": [100, 110], "latitude": [0, 9]}, "no cell"),
    ],
)
def test_contradictions_with_the_data_are_refused_before_the_training(
    path: str, value: Any, message: str, workplace: Path
) -> None:
    with pytest.raises((OptionError, GridError), match=message):
        silently(change(small("diffusion"), path, value))
    assert list(workplace.iterdir()) == []


def test_notes_are_warnings_and_come_back(workplace: Path) -> None:
    whole = small("conv_baseline")
    del whole["validation_configuration"]
    change(whole, f"{PARAMETERS}.save_image_epochs", 5)
    with pytest.warns(UserWarning) as warned:
        outcome = silently(whole)
    said = [str(w.message) for w in warned]
    assert all(note in said for note in outcome.notes)
    assert any(note.startswith(f"{PARAMETERS}.save_image_epochs") for note in outcome.notes)


def test_a_file_a_mapping_and_a_configuration_mean_the_same(workplace: Path) -> None:
    whole = small("bicubic_evaluation")
    whole["validation_configuration"].pop("visualizations")
    file = workplace / "c.yml"
    file.write_text(yaml.safe_dump(whole))
    found = [silently(c, overwrite=True) for c in (file, whole, read_configuration(whole))]
    for outcome in found:
        assert outcome.scores is not None and found[0].scores is not None
        xr.testing.assert_equal(outcome.scores.rmse, found[0].scores.rmse)


# --- the Hub ------------------------------------------------------------------------------


def test_pushed_and_evaluated_from_the_hub(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_TOKEN", "hf_abcDEF123456")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(workplace / "hf"))
    whole = small("conv_baseline")
    whole["training_configuration"]["training_parameters"] |= {
        "push_to_hub": True, "hf_repo_name": "me/italy", "hub_private_repo": True
    }  # fmt: skip
    with fake_hub.running() as hub:
        hub.writers["me"] = {"hf_abcDEF123456"}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        first = silently(whole)
        pushed = set(hub.repos["me/italy"]["main"])
        assert {"card.json", "network.safetensors", "README.md"} <= pushed
        assert hub.private == {"me/italy"}
        other = copy.deepcopy(whole)
        network = {"class_name": "ConvBaseline", "trained_model_dir": "me/italy"}
        other["training_configuration"] = {
            "type": "end2end", "model_configuration": {"neural_network": network}
        }  # fmt: skip
        other["validation_configuration"]["output_directory"] = "again"
        second = silently(other)
    assert capfd.readouterr() == ("", "")
    assert first.scores is not None and second.scores is not None
    xr.testing.assert_equal(first.scores.rmse, second.scores.rmse)


# --- scores of files ----------------------------------------------------------------------


def test_scores_of_files_that_are_there(workplace: Path, italy_hr: xr.Dataset) -> None:
    """As DeepR leaves them: called "prediction", without units."""
    hr = italy_hr.isel(time=slice(0, 8))
    lr = xdeepr.coarsen(hr, 4)
    for place, fields in (
        ("truth", hr),
        ("model", xdeepr.downscale(lr, "bicubic", like=hr)),
        ("base", xdeepr.downscale(lr, "bilinear", like=hr)),
    ):
        (workplace / place).mkdir()
        name = "t2m" if place == "truth" else "prediction"
        plain = fields[["t2m"]].rename(t2m=name).load()
        if place != "truth":
            plain.attrs.clear()
            plain[name].attrs.clear()
        for part in (0, 1):
            plain.isel(time=slice(4 * part, 4 * part + 4)).to_netcdf(
                workplace / place / f"{part}.nc"
            )
    outcome = silently(
        {
            "validation": {
                "model_name": "swin",
                "baseline_name": "linear",
                "model_predictions_location": "model",
                "baseline_predictions_location": "base",
                "observations_location": "truth",
                "validation_dir": "scores",
                "visualization_types": {"metrics_global_map": {"show_baseline": True}},
            }
        }
    )
    assert outcome.scores is not None and outcome.model is None
    expected = xdeepr.verify(
        xdeepr.downscale(lr, "bicubic", like=hr), hr, baseline="bilinear", predictor=lr
    )
    assert list(outcome.scores.system.values) == ["swin", "linear"]
    np.testing.assert_allclose(outcome.scores.rmse, expected.rmse, rtol=1e-4)
    assert {path.name for path in outcome.outputs} == {"scores.nc", "score_maps.nc", "scores.txt"}
    assert any("has no units; those of the observations (K)" in note for note in outcome.notes)
    assert any("visualization_types.metrics_global_map" in note for note in outcome.notes)


# --- the command --------------------------------------------------------------------------


def test_the_command(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = small("bicubic_evaluation")
    del whole["validation_configuration"]["visualizations"]
    (workplace / "c.yml").write_text(yaml.safe_dump(whole))
    assert main(["run", "c.yml", "--check"]) == 0
    assert "all keys are known, 0 of them without effect" in capsys.readouterr().out
    assert not (workplace / "italy-bicubic-evaluation").exists()
    assert main(["run", "c.yml", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["run", "c.yml", "--quiet"]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["run", "c.yml", "--overwrite"]) == 0
    assert "RMSE" in capsys.readouterr().out
