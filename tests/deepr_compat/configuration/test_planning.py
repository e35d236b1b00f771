"""From a configuration to the keywords of `fit`: a pure function, checked without data."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pytest

from tests.deepr_compat.configuration.conftest import (
    BASELINE,
    KINDS,
    SWIN,
    VQVAE,
    change,
    end2end,
    evaluation,
    vqvae,
)
from xdeepr.deepr_compat.configuration.models import noise_options
from xdeepr.deepr_compat.configuration.networks import (
    ARCHITECTURES,
    Shapes,
    Stage,
    check_agreement,
    network_keywords,
    translate,
)
from xdeepr.deepr_compat.configuration.reading import read_configuration
from xdeepr.deepr_compat.configuration.schema import NetworkConfiguration, SchedulerConfiguration
from xdeepr.deepr_compat.configuration.section import ConfigurationWarning, noted
from xdeepr.deepr_compat.configuration.training import Trained, TrainingPlan, plan_training
from xdeepr.deepr_compat.configuration.workflow import check
from xdeepr.errors import OptionError
from xdeepr.networks import NETWORKS
from xdeepr.sampling.schedules import as_schedule
from xdeepr.training.recipes import CLASS_NAMES, RECIPES

PARAMETERS = "training_configuration.training_parameters"
MODEL = "training_configuration.model_configuration"
FEATURES = "data_configuration.features_configuration"
LABELS = "data_configuration.label_configuration"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # notes; they are asked for below


def planned(configuration: dict[str, Any]) -> TrainingPlan:
    plan = plan_training(read_configuration(configuration))
    assert plan is not None
    return plan


def options(configuration: dict[str, Any]) -> dict[str, Any]:
    return dict(planned(configuration).stage.options)


def notes_on(configuration: dict[str, Any], key: str) -> list[str]:
    """Notes of the plan that name a key."""
    notes: list[str] = []
    with noted(notes):
        planned(configuration)
    return [note for note in notes if key in note]


# --- the published kinds ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("diffusion", {"model": "ddpm", "target": "field", "time_features": {"hour": "class"},
                       "batch_size": 16, "epochs": 30, "learning_rate": 1e-3}),
        ("swin2sr", {"model": "conv-swin2sr", "target": "residual", "batch_size": 4}),
        ("bicubic", {"model": "conv-baseline", "target": "residual"}),
        ("vqvae", {"model": "autoencoder", "target": "field", "time_features": {}}),
    ],
)  # fmt: skip
def test_what_fit_is_asked_for(kind: str, expected: dict[str, Any]) -> None:
    found = options(copy.deepcopy(KINDS[kind]()))
    assert {key: found[key] for key in expected} == expected
    assert found["seed"] == 2023
    assert found["normalization"] == "domain-wise"
    assert found["by_month"] is True  # as DeepR's scaler does it
    assert found["variables"] == ["t2m"]
    assert found["model"] in RECIPES
    json.dumps(found)  # plain data: no part of it depends on the machine


def test_an_evaluation_trains_nothing() -> None:
    assert plan_training(read_configuration(evaluation())) is None


def test_networks_get_the_keywords_that_are_theirs() -> None:
    swin = options(end2end("ConvSwin2SR", SWIN))["network"]
    assert swin["name"] == "conv-swin2sr"
    assert swin["img_range"] == 1.0 and isinstance(swin["img_range"], float)
    assert swin["depths"] == [4, 4, 4, 4]
    assert "upscale" not in swin and "num_channels" not in swin
    vq = options(vqvae())["network"]
    assert vq == {"name": "vq", **VQVAE}


@pytest.mark.parametrize("prefix", ["", "diffusers."])
def test_class_names_with_and_without_their_library(prefix: str, diffusion: dict[str, Any]) -> None:
    change(diffusion, f"{MODEL}.eps_model.class_name", f"{prefix}UNet2DModel")
    assert options(diffusion)["network"]["name"] == "unet2d"


@pytest.mark.parametrize(
    ("class_name", "kind", "model"),
    [
        ("UNet", "diffusion", "unet"),
        ("diffusers.UNet2DConditionModel", "diffusion", "unet2d-condition"),
        ("diffusers.UNet2DModel", "end2end", "regression"),
        ("transformers.Swin2SRForImageSuperResolution", "end2end", "swin2sr"),
        ("Swin2SR", "end2end", "swin2sr"),
        ("ConvBilinear", "end2end", "conv-baseline"),
        ("diffusers.AutoencoderKL", "autoencoder", "autoencoder"),
    ],
)
def test_every_class_has_its_model(class_name: str, kind: str, model: str) -> None:
    if kind == "diffusion":
        whole = copy.deepcopy(KINDS["diffusion"]())
        change(whole, f"{MODEL}.eps_model", {"class_name": class_name})
    else:
        whole = end2end(class_name, {})
        change(whole, "training_configuration.type", kind)
    found = options(whole)
    assert found["model"] == model
    assert found["network"]["name"] in NETWORKS


def test_every_architecture_is_a_network_with_keywords() -> None:
    for found in ARCHITECTURES.values():
        assert found.network in NETWORKS
        keywords = network_keywords(found.network)
        assert keywords and "in_channels" not in keywords
        assert not set(found.without_effect) & {"block_out_channels", "embed_dim"}


def test_fit_knows_the_same_classes_by_the_same_names() -> None:
    """`fit(network={"name": ...})` and a configuration mean one network by one class."""
    ours = {bare: known.network for bare, known in ARCHITECTURES.items()}
    # "UNet" and "Swin2SR" are names of our own networks too, and need no entry in fit's table
    assert {bare: ours[bare] for bare in CLASS_NAMES} == CLASS_NAMES
    assert set(ours) - set(CLASS_NAMES) == {"unet", "swin2sr"} <= set(NETWORKS)


# --- names and keywords that are wrong ----------------------------------------------------


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("class_name", "diffusers.UNet2dModl", r"eps_model\.class_name: .*Nearest: .*UNet2DModel"),
        ("class_name", "ConvSwin2SR", r"not for the type 'diffusion', but UNet, diffusers"),
        ("class_name", "diffusers.VQModel", "not for the type 'diffusion'"),
        ("kwargs.block_out_chanels", [8], r"kwargs\.block_out_chanels: unknown keyword.*Nearest:"
         r" block_out_channels"),
        ("kwargs.num_class_embeds", 12, "num_class_embeds is 12, but .*'class', which needs 24"),
        ("kwargs.class_embed_type", "timestep", "class_embed_type is 'timestep'"),
    ],
)  # fmt: skip
def test_a_wrong_network(path: str, value: Any, message: str, diffusion: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=message):
        planned(change(diffusion, f"{MODEL}.eps_model.{path}", value))


@pytest.mark.parametrize(
    ("hour", "keywords"),
    [
        ("class", {"num_class_embeds": 24}),
        ("positional", {"class_embed_type": "identity"}),
        ("timestep", {"class_embed_type": "timestep"}),
        ("none", {}),
        ("cyclical", {}),
    ],
)
def test_the_hour_and_the_network_must_agree(
    hour: str, keywords: dict[str, Any], diffusion: dict[str, Any]
) -> None:
    kwargs = diffusion["training_configuration"]["model_configuration"]["eps_model"]["kwargs"]
    del kwargs["num_class_embeds"]
    kwargs |= keywords
    change(diffusion, f"{PARAMETERS}.hour_embed_type", hour)
    assert options(diffusion)["time_features"] == {"hour": hour}
    other = "none" if hour not in ("none", "cyclical") else "timestep"
    if keywords or other == "timestep":
        change(diffusion, f"{PARAMETERS}.hour_embed_type", other)
        if keywords:
            with pytest.raises(OptionError, match="it follows from hour_embed_type"):
                planned(diffusion)


def test_more_features_of_the_time(diffusion: dict[str, Any]) -> None:
    change(diffusion, f"{PARAMETERS}.time_features", {"day_of_year": "cyclical"})
    assert options(diffusion)["time_features"] == {"hour": "class", "day_of_year": "cyclical"}


def test_networks_on_the_lr_grid_embed_no_numbers() -> None:
    whole = end2end("ConvBaseline", BASELINE)
    change(whole, f"{PARAMETERS}.hour_embed_type", "class")
    assert options(whole)["time_features"] == {}
    assert notes_on(whole, f"{PARAMETERS}.hour_embed_type has no counterpart")
    change(whole, f"{PARAMETERS}.hour_embed_type", "cyclical")
    assert options(whole)["time_features"] == {"hour": "cyclical"}


# --- the scheduler ------------------------------------------------------------------------


def scheduled(class_name: str, **kwargs: Any) -> dict[str, Any]:
    return noise_options(SchedulerConfiguration(class_name=class_name, kwargs=kwargs), "scheduler")


def test_the_scheduler_of_deepr(diffusion: dict[str, Any]) -> None:
    found = options(diffusion)["diffusion"]
    assert found["prediction"] == "epsilon"
    # of pure noise nothing can be learnt about the noise: the last level is just below it
    levels = as_schedule(found["schedule"])
    asked = as_schedule({"rescale_betas_zero_snr": True})
    assert not levels.zero_snr and len(levels) == 1000
    np.testing.assert_allclose(levels.sigmas, asked.sigmas)
    assert notes_on(diffusion, "the last level is kept just below it")
    change(diffusion, f"{MODEL}.scheduler.kwargs.prediction_type", "v_prediction")
    assert options(diffusion)["diffusion"]["schedule"] == {
        "num_train_timesteps": 1000, "beta_start": 0.0001, "beta_end": 0.02,
        "beta_schedule": "linear", "rescale_betas_zero_snr": True,
    }  # fmt: skip
    assert not notes_on(diffusion, "pure noise")
    assert found["sampler"] == "LMSDiscreteScheduler"
    # the spacing that was asked for, and not the levels xdeepr would choose
    assert found["sampler_options"] == {"timestep_spacing": "trailing", "use_karras_sigmas": False}


def test_what_a_scheduler_is_not_told_it_takes_from_its_own_defaults() -> None:
    found = scheduled("diffusers.HeunDiscreteScheduler")
    assert found["prediction"] == "epsilon"
    assert found["schedule"]["beta_start"] == 0.00085  # not that of the other classes
    assert scheduled("DDPMScheduler", prediction_type="v_prediction")["prediction"] == (
        "v_prediction"
    )
    assert scheduled("DDPMScheduler")["steps"] == 1000


def test_betas_may_be_given_one_by_one() -> None:
    found = scheduled("DDIMScheduler", trained_betas=[0.1, 0.2, 0.3])
    assert found["schedule"] == {"trained_betas": [0.1, 0.2, 0.3]}


def test_schedulers_without_betas_mean_the_noise_levels_of_karras() -> None:
    found = scheduled("EDMEulerScheduler", sigma_max=30.0, sigma_min=0.01)
    assert (found["prediction"], found["sigma_max"], found["sigma_min"]) == ("edm", 30.0, 0.01)
    assert "schedule" not in found
    assert scheduled("FlowMatchEulerDiscreteScheduler")["prediction"] == "edm"
    assert noise_options(None, "scheduler") == {}


@pytest.mark.parametrize(
    ("class_name", "kwargs", "message"),
    [
        ("DDPMSheduler", {}, "scheduler.class_name: .*Nearest names: .*DDPMScheduler"),
        ("LCMScheduler", {}, "scheduler.class_name: .*not used"),
        ("DDPMScheduler", {"beta_strt": 1}, r"kwargs: beta_strt: unknown key.*beta_start"),
        (
            "DDPMScheduler",
            {"prediction_type": "noise"},
            "kwargs: prediction_type='noise' is not one",
        ),
        ("DDPMScheduler", {"variance_type": "learned"}, "scheduler.kwargs: .*predicts a variance"),
        ("DDPMScheduler", {"clip_sample": "yes"}, "scheduler.kwargs: clip_sample"),
    ],
)
def test_a_wrong_scheduler(class_name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        scheduled(class_name, **kwargs)


# --- parameters ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "option", "expected"),
    [
        ("mixed_precision", "no", "precision", "float32"),
        ("mixed_precision", "bf16", "precision", "bfloat16"),
        ("mixed_precision", "fp16", "precision", "auto"),
        ("learn_residuals", True, "target", "residual"),
        ("learn_residuals", False, "target", "field"),
        ("instance_norm", True, "normalization", "instance"),
        ("max_steps", 7, "max_steps", 7),
        ("max_time", "2min", "max_time", "2min"),
        ("patience", 3, "patience", 3),
        ("window", 32, "window", (32, 32)),
        ("covariate_dropout", 0.25, "covariate_dropout", 0.25),
        ("keep", "/state", "keep", "/state"),
        ("name", "mine", "name", "mine"),
        ("output_dir", "/a/b/", "name", "b"),
        ("device", "cuda:1", "device", "cuda:1"),
        ("gradient_accumulation_steps", 3, "batch_size", 12),
    ],
)
def test_parameters_become_keywords_of_fit(
    key: str, value: Any, option: str, expected: Any, diffusion: dict[str, Any]
) -> None:
    assert options(change(diffusion, f"{PARAMETERS}.{key}", value))[option] == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gradient_accumulation_steps", 4),
        ("lr_warmup_steps", 500),
        ("mixed_precision", "fp16"),
        ("instance_norm", True),
        ("hub_private_repo", True),
        ("hf_repo_name", "a/b"),
        ("push_to_hub", True),
    ],
)
def test_what_has_another_meaning_is_said(key: str, value: Any, diffusion: dict[str, Any]) -> None:
    parameters = diffusion["training_configuration"]["training_parameters"]
    for name in ("hf_repo_name", "lr_warmup_steps", "mixed_precision"):
        del parameters[name]
    parameters["gradient_accumulation_steps"] = 1
    assert not notes_on(diffusion, key)
    parameters[key] = value
    assert len(notes_on(diffusion, f"{PARAMETERS}.{key}")) == 1


def test_pushing_needs_a_repository(diffusion: dict[str, Any]) -> None:
    change(diffusion, f"{PARAMETERS}.push_to_hub", True)
    assert planned(diffusion).repository == "someone/model"
    assert not notes_on(diffusion, "push_to_hub")
    del diffusion["training_configuration"]["training_parameters"]["hf_repo_name"]
    assert planned(diffusion).repository is None


def test_standardization(diffusion: dict[str, Any]) -> None:
    for section in (FEATURES, LABELS):
        change(diffusion, f"{section}.standardization", {"method": "pixel-wise"})
    assert options(diffusion)["normalization"] == "pixel-wise"
    change(diffusion, f"{LABELS}.standardization", {"method": "domain-wise"})
    with pytest.raises(OptionError, match=r"standardization differs .*pixel-wise by month"):
        planned(diffusion)
    change(diffusion, f"{LABELS}.standardization", {"to_do": False})
    assert options(diffusion)["normalization"] == "pixel-wise"
    assert notes_on(diffusion, f"{LABELS}.standardization.to_do: false has no counterpart")


def test_land_and_sea_need_a_mask(diffusion: dict[str, Any]) -> None:
    for section in (FEATURES, LABELS):
        change(diffusion, f"{section}.standardization.method", "landmask-wise")
    assert "lsm-high" in planned(diffusion).stage.statics
    change(diffusion, f"{FEATURES}.add_auxiliary", False)
    assert planned(diffusion).stage.statics == ("lsm-high",)
    assert notes_on(diffusion, "lsm-high is a condition of the network too")
    assert not notes_on(diffusion, f"{LABELS}.land_mask_location is not read")
    for section in (FEATURES, LABELS):
        change(diffusion, f"{section}.land_mask_location", None)
    with pytest.raises(OptionError, match="needs a land–sea mask"):
        planned(diffusion)


def test_static_covariates(diffusion: dict[str, Any]) -> None:
    assert planned(diffusion).stage.statics == ("lsm-low", "orog-low", "lsm-high", "orog-high")
    change(diffusion, f"{PARAMETERS}.static_covariables", ["orog", "lsm-high"])
    assert planned(diffusion).stage.statics == ("orog-high", "lsm-high")
    assert notes_on(diffusion, "add_auxiliary.lsm-low has no effect")
    assert notes_on(diffusion, f"{FEATURES}.land_mask_location is not read")
    change(diffusion, f"{PARAMETERS}.static_covariables", ["orog-hi"])
    with pytest.raises(OptionError, match=r"'orog-hi' is unknown. Nearest: orog-high"):
        planned(diffusion)


def test_the_time_without_an_embedding_is_said(diffusion: dict[str, Any]) -> None:
    kwargs = diffusion["training_configuration"]["model_configuration"]["eps_model"]["kwargs"]
    del kwargs["num_class_embeds"]
    change(diffusion, f"{PARAMETERS}.hour_embed_type", "none")
    assert notes_on(diffusion, "add_auxiliary.time has no effect")


def test_another_interpolation_is_inside_the_network() -> None:
    whole = end2end("ConvBaseline", {**BASELINE, "interpolation_method": "bilinear"})
    found = options(whole)
    assert found["network"]["interpolation"] == "bilinear" and found["target"] == "field"
    change(whole, f"{PARAMETERS}.learn_residuals", True)
    with pytest.raises(OptionError, match="interpolation_method is 'bilinear'"):
        planned(whole)


def test_a_base_model(diffusion: dict[str, Any]) -> None:
    part = {"class_name": "ConvBaseline", "model_dir": "/models/base"}
    change(diffusion, f"{MODEL}.trained_obs_model", part)
    base = planned(diffusion).base
    assert base is not None
    assert (base.location, base.network) == ("/models/base", "conv-baseline")
    change(diffusion, f"{MODEL}.trained_obs_model", {"class_name": "ConvBaseline"})
    with pytest.raises(OptionError, match=r"trained_obs_model.model_dir is missing"):
        planned(diffusion)


def test_a_latent_model_trains_its_autoencoder_or_loads_it(diffusion: dict[str, Any]) -> None:
    change(diffusion, "training_configuration.type", "latent")
    change(diffusion, f"{PARAMETERS}.keep", "/state")
    part = {"class_name": "diffusers.AutoencoderKL", "kwargs": {"latent_channels": 2}}
    plan = planned(change(diffusion, f"{MODEL}.autoencoder", part))
    first = plan.autoencoder
    assert isinstance(first, Stage)
    assert first.options["model"] == "autoencoder"
    assert first.options["network"] == {"name": "autoencoder-kl", "latent_channels": 2}
    assert first.options["keep"] != plan.stage.options["keep"]
    assert plan.stage.options["model"] == "latent" and "target" not in plan.stage.options
    part = {"class_name": "diffusers.AutoencoderKL", "trained_model_dir": "/models/vae"}
    loaded = planned(change(diffusion, f"{MODEL}.autoencoder", part)).autoencoder
    assert isinstance(loaded, Trained)
    assert (loaded.location, loaded.network) == ("/models/vae", "autoencoder-kl")


def test_an_autoencoder_is_not_evaluated() -> None:
    whole = vqvae()
    whole["validation_configuration"] = {"inference_steps": 3}
    with pytest.raises(OptionError, match="compresses and does not downscale"):
        check(whole)


def test_one_model_at_a_time(diffusion: dict[str, Any]) -> None:
    change(diffusion, "validation_configuration", {"model": "bicubic"})
    with pytest.raises(OptionError, match="names a model, but training_parameters"):
        check(diffusion)
    whole = evaluation()
    whole["inference_configuration"] = {"repo_name": "someone/other"}
    with pytest.raises(OptionError, match="different models are named"):
        check(whole)
    del whole["training_configuration"]
    whole["inference_configuration"] = {"seed": 1}
    with pytest.raises(OptionError, match=r"inference_configuration.model is missing"):
        check(whole)


def test_with_a_trained_model_the_rest_is_said_to_have_no_effect() -> None:
    whole = evaluation()
    change(whole, f"{MODEL}.neural_network.kwargs", {"embed_dim": 3})
    whole["training_configuration"]["training_parameters"] = {"output_dir": "x"}
    with pytest.warns(UserWarning) as warned:
        notes = check(whole)
    assert sorted(str(w.message) for w in warned) == sorted(notes)
    for key in ("training_parameters", f"{MODEL}.neural_network.kwargs",
                f"{FEATURES}.apply_standardization"):  # fmt: skip
        assert any(key in note and "has no effect" in note for note in notes), key


# --- agreement with the data --------------------------------------------------------------

SHAPES = Shapes(1, 1, 2, 2, 5, (44, 60), (160, 240))


def stage(model: str, **stated: Any) -> Stage:
    return Stage({"model": model, "variables": ["t2m"]}, stated, "here")


@pytest.mark.parametrize(
    ("model", "stated"),
    [
        ("ddpm", {"in_channels": 2, "out_channels": 1}),  # as DeepR counts: fields alone
        ("ddpm", {"in_channels": 6}),  # with all that xdeepr puts beside them
        ("ddpm", {"sample_size": [160, 240]}),
        ("regression", {"in_channels": 1}),
        ("conv-swin2sr", {"num_channels": 1, "upscale": 5, "image_size": [32, 48],
                          "input_shape": [44, 60], "num_high_res_covars": 2}),
        ("conv-swin2sr", {"upscale": 8, "real_upscale": 5}),  # as published files have it
        ("autoencoder", {"in_channels": 1, "out_channels": 1, "sample_size": [160, 240]}),
    ],
)  # fmt: skip
def test_what_agrees_with_the_data(model: str, stated: dict[str, Any]) -> None:
    check_agreement(stage(model, **stated), SHAPES)


@pytest.mark.parametrize(
    ("model", "stated", "message"),
    [
        ("ddpm", {"in_channels": 3}, "in_channels is 3, but the data make it 2 or 6"),
        ("ddpm", {"out_channels": 2}, "out_channels is 2, but the data make it 1"),
        ("unet", {"image_channels": 3}, "image_channels is 3"),
        ("conv-baseline", {"sample_size": [20, 32]}, "sample_size is 20 × 32, .* 160 × 240"),
        ("regression", {"in_channels": 2}, "in_channels is 2"),
        ("conv-swin2sr", {"upscale": 4}, "upscale is 4, but the data make it 5"),
        ("conv-swin2sr", {"upscale": 8}, "upscale is 8"),
        ("conv-swin2sr", {"num_channels": 3}, "num_channels is 3"),
        ("conv-swin2sr", {"num_high_res_covars": 1}, "num_high_res_covars is 1"),
        ("conv-swin2sr", {"image_size": 64}, "image_size is 64"),
        ("autoencoder", {"in_channels": 2}, "in_channels is 2"),
    ],
)
def test_what_contradicts_the_data(model: str, stated: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"here\.kwargs\.{message}"):
        check_agreement(stage(model, **stated), SHAPES)


def test_a_network_of_any_size_may_state_another_one() -> None:
    """The README of DeepR trains a U-Net of sample_size 20 × 32 on fields of 160 × 240."""
    said = Stage(
        {"model": "ddpm", "variables": ["t2m"]}, {"sample_size": [20, 32]}, "here", (), True
    )
    with pytest.warns(
        ConfigurationWarning, match=r"here\.kwargs\.sample_size is 20 × 32, the data"
    ):
        check_agreement(said, SHAPES)


def test_a_latent_space_has_channels_of_its_own() -> None:
    check_agreement(stage("latent", in_channels=5, out_channels=4), SHAPES, 4)
    with pytest.raises(OptionError, match="in_channels is 2"):
        check_agreement(stage("latent", in_channels=2), SHAPES, 4)


def test_keywords_that_follow_from_the_data_are_kept_apart() -> None:
    network = NetworkConfiguration(
        class_name="UNet", kwargs={"image_channels": 1, "n_channels": 8, "freq_shift": 0}
    )
    with pytest.warns(ConfigurationWarning, match="freq_shift has no counterpart") as warned:
        found = translate(network, "diffusion", "here")
    assert len(warned) == 1
    assert found.network == {"name": "unet", "n_channels": 8}
    assert found.stated == {"image_channels": 1}
