"""DeepR's diffusion models: the same numbers as a plain loop over diffusers' own objects."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

import xdeepr
from tests.deepr_compat.checkpoints.folders import (
    DDIM,
    FACTOR,
    HR_SHAPE,
    SCALE,
    UNET,
    lr_dataset,
    north_first,
    old_attention,
    unet,
    write_diffusion,
    write_json,
)
from tests.deepr_compat.checkpoints.loop import FACTS, assert_same, hours, plain_loop
from xdeepr.deepr_compat import from_deepr
from xdeepr.errors import CheckpointError, GridError, OptionError


@pytest.fixture(scope="module")
def network():
    return unet()


@pytest.fixture
def lr():
    return lr_dataset()


@pytest.fixture
def folder(network, tmp_path):
    return write_diffusion(tmp_path / "model", network)


def ddim(**changes):
    from diffusers import DDIMScheduler

    return DDIMScheduler(**{k: v for k, v in {**DDIM, **changes}.items() if k[0] != "_"})


def test_same_field_as_the_plain_loop(folder, network, lr):
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    out = lr.deepr.downscale(model, steps=8, seed=7)
    assert out.t2m.shape == (3, *HR_SHAPE)
    assert out.latitude[0] > out.latitude[-1]
    assert out.t2m.attrs["units"] == "K"
    assert_same(out, plain_loop(lr, network, ddim(), steps=8, labels=hours(lr)))


def test_rows_in_either_order(folder, network, lr):
    """The network wants north first; the user's order does not matter."""
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    turned = lr.isel(latitude=slice(None, None, -1))
    ours, theirs = (ds.deepr.downscale(model, steps=4, seed=7) for ds in (lr, turned))
    np.testing.assert_array_equal(ours.t2m, theirs.t2m.isel(latitude=slice(None, None, -1)))
    # and it does matter to the network
    wanted = plain_loop(lr, network, ddim(), steps=4, labels=hours(lr))
    flipped = plain_loop(
        lr.assign(t2m=lr.t2m.copy(data=lr.t2m.values[:, ::-1].copy())),
        network, ddim(), steps=4, labels=hours(lr),
    )  # fmt: skip
    assert np.abs(flipped[:, ::-1] - wanted).max() > 0.1 * wanted.std()


def test_the_deviation_is_nearly_deeprs(folder, network, lr):
    """DeepR divides by n - 1; with 768 cells that is within a thousandth."""
    condition = functional.interpolate(north_first(lr), scale_factor=FACTOR, mode="bicubic")
    ours, theirs = (condition.std((1, 2, 3), correction=c) for c in (0, 1))
    assert float((ours / theirs - 1).abs().max()) < 1e-3


@pytest.mark.parametrize(
    "weights",
    ["diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"],
)
@pytest.mark.parametrize("rename", [lambda name: name, old_attention], ids=["new", "old"])
def test_weights_in_every_form(weights, rename, network, lr, tmp_path):
    names = {rename(name) for name in network.state_dict()}
    assert any("query" in name for name in names) is (rename is old_attention)
    folder = write_diffusion(tmp_path / "m", network, weights=weights, rename=rename)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    theirs = network.state_dict()
    assert all(
        torch.equal(tensor, theirs[name.removeprefix("unet.")])
        for name, tensor in model.network.state_dict().items()
    )


def test_stochastic_solver_and_its_noise(folder, network, lr):
    from diffusers import DDPMScheduler

    model = from_deepr(folder, lr_grid=lr, **FACTS)
    out = lr.deepr.downscale(model, sampler="ddpm", steps=6, seed=7)
    scheduler = DDPMScheduler(clip_sample=False, timestep_spacing="trailing")
    assert_same(out, plain_loop(lr, network, scheduler, steps=6, labels=hours(lr)))


def test_residual_and_numbers_as_they_are(network, lr, tmp_path):
    folder = write_diffusion(tmp_path / "m", network)
    facts = {**FACTS, "target": "residual"}
    model = from_deepr(folder, lr_grid=lr, **facts)
    out = lr.deepr.downscale(model, steps=4, seed=7)
    wanted = plain_loop(lr, network, ddim(), steps=4, labels=hours(lr), residual=True)
    assert_same(out, wanted)
    celsius = lr.assign(t2m=(lr.t2m - 285).assign_attrs(lr.t2m.attrs))
    model = from_deepr(folder, lr_grid=lr, **{**facts, "normalization": "none"})
    out = celsius.deepr.downscale(model, steps=4, seed=7)
    wanted = plain_loop(
        celsius, network, ddim(), steps=4, labels=hours(lr), instance=False, residual=True
    )
    assert_same(out, wanted)


def test_scaled_by_month(network, lr, tmp_path):
    """January and February differ: the third time is in February."""
    folder = write_diffusion(tmp_path / "m", network)
    write_json(folder / "training_scale.json", SCALE)
    model = from_deepr(folder, lr_grid=lr, **{**FACTS, "normalization": "scale"})
    out = lr.deepr.downscale(model, steps=4, seed=7)
    month = lr.time.dt.month.values
    assert set(month) == {1, 2}

    def numbers(role, key):
        return np.array(SCALE[role][key])[month - 1][:, None, None]

    scaled = (lr.t2m - numbers("features", "average")) / numbers("features", "standard_deviation")
    scaled = lr.assign(t2m=scaled.astype("float32").assign_attrs(lr.t2m.attrs))
    drawn = plain_loop(scaled, network, ddim(), steps=4, labels=hours(lr), instance=False)
    wanted = drawn * numbers("label", "standard_deviation") + numbers("label", "average")
    assert_same(out, wanted)


@pytest.mark.parametrize(
    ("hour", "changes"),
    [
        ("none", {"num_class_embeds": None}),
        ("timestep", {"num_class_embeds": None, "class_embed_type": "timestep"}),
        ("positional", {"num_class_embeds": None, "class_embed_type": "identity"}),
    ],
)
def test_how_the_hour_is_told(hour, changes, lr, tmp_path):
    from diffusers.models.embeddings import get_timestep_embedding

    config = {**UNET, **changes}
    network = unet(config)
    folder = write_diffusion(tmp_path / "m", network, config=config)
    model = from_deepr(folder, lr_grid=lr, **{**FACTS, "hour": hour})
    labels = {
        "none": None,
        "timestep": hours(lr),
        "positional": get_timestep_embedding(hours(lr), 32, max_period=24),
    }[hour]
    out = lr.deepr.downscale(model, steps=4, seed=7)
    assert_same(out, plain_loop(lr, network, ddim(), steps=4, labels=labels))


def test_half_hours_count_as_the_hour_before(folder, network, lr):
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    later = lr.assign_coords(time=lr.time + np.timedelta64(59, "m"))
    out = later.deepr.downscale(model, steps=4, seed=7)
    assert_same(out, plain_loop(later, network, ddim(), steps=4, labels=hours(lr)))


def test_pipeline_folder(network, lr, tmp_path):
    folder = tmp_path / "pipeline"
    write_diffusion(folder / "unet", network, scheduler=None)
    write_json(folder / "scheduler" / "scheduler_config.json", DDIM)
    index = {
        "_class_name": "cDDPMPipeline",
        "_diffusers_version": "0.21.4",
        "obs_model": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(folder / "model_index.json", index)
    flat = write_diffusion(tmp_path / "flat", network)
    ours, theirs = (from_deepr(f, lr_grid=lr, name="m", **FACTS) for f in (folder, flat))
    assert ours.card.diffusion == theirs.card.diffusion
    fields = [lr.deepr.downscale(m, steps=2, seed=1).t2m for m in (ours, theirs)]
    np.testing.assert_array_equal(*fields)
    write_json(folder / "model_index.json", {**index, "_class_name": "DDPMPipeline"})
    with pytest.raises(CheckpointError, match=r"model_index\.json.*'DDPMPipeline'.*cDDPMPipeline"):
        from_deepr(folder, lr_grid=lr, **FACTS)
    write_json(folder / "model_index.json", {**index, "vae": ["diffusers", "AutoencoderKL"]})
    with pytest.raises(CheckpointError, match=r"model_index\.json: vae: unknown key"):
        from_deepr(folder, lr_grid=lr, **FACTS)


def test_epsilon_with_a_last_level_of_pure_noise(network, lr, tmp_path):
    """DeepR's own configuration combines them; all levels but the last stay what they are."""
    scheduler = {**DDIM, "rescale_betas_zero_snr": True}
    folder = write_diffusion(tmp_path / "m", network, scheduler=scheduler)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    kept = np.cumprod(1 - np.array(model.card.diffusion.schedule["trained_betas"]))
    theirs = ddim(rescale_betas_zero_snr=True).alphas_cumprod.numpy()
    assert theirs[-1] == 0 < kept[-1] < 1e-7
    np.testing.assert_allclose(kept[:-1], theirs[:-1], rtol=2e-3, atol=1e-7)
    out = lr.deepr.downscale(model, steps=8, seed=7)
    assert np.isfinite(out.t2m).all()


def test_saved_and_loaded_it_is_the_same(folder, lr, tmp_path):
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    loaded = xdeepr.load(model.save(tmp_path / "saved"))
    assert loaded.card.to_json() == model.card.to_json()
    ours, theirs = (lr.deepr.downscale(m, steps=2, seed=1) for m in (model, loaded))
    np.testing.assert_array_equal(ours.t2m, theirs.t2m)
    assert ours.attrs["xdeepr_checkpoint"] == theirs.attrs["xdeepr_checkpoint"]


def test_the_card(folder, lr):
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    card = model.card
    assert (card.kind, card.target, card.name) == ("diffusion", "field", "model")
    assert card.margin == (8, 8, 8, 8)
    assert card.tile == HR_SHAPE
    assert card.time_features == {"hour": "class"}
    assert card.diffusion.sampler == "DDIMScheduler"
    assert card.diffusion.prediction == "epsilon"
    assert card.training["domain"] == "latitude 42.625 to 48.375, longitude 2.625 to 10.375"
    assert "clip_sample" not in card.diffusion.sampler_options
    assert "hour (class)" in repr(model)


def test_a_larger_domain_goes_tile_by_tile(folder, lr):
    """Twice as wide as the training: the network still sees windows of its own size."""
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    wide = lr.pad(longitude=(0, 12), mode="edge").assign_coords(longitude=1.0 + np.arange(24))
    wide.longitude.attrs = lr.longitude.attrs
    out = wide.isel(time=[0]).deepr.downscale(model, steps=2, seed=1)
    assert out.t2m.shape == (1, 24, 24 * FACTOR - 16)
    assert np.isfinite(out.t2m).all()


# --- what is not said, and what is wrong ---------------------------------------------------------


def test_everything_that_is_missing_is_named_at_once(folder):
    (folder / "scheduler_config.json").unlink()
    with pytest.raises(CheckpointError) as raised:
        from_deepr(folder)
    message = str(raised.value)
    assert message.startswith(f"{folder}: ")
    for option in (
        "lr_grid", "factor", "predictors", "target", "normalization", "hour", "scheduler",
    ):  # fmt: skip
        assert f"{option}= (" in message


@pytest.mark.parametrize("option", ["factor", "predictors", "hour", "target", "normalization"])
def test_nothing_is_guessed(folder, lr, option):
    facts = {k: v for k, v in FACTS.items() if k != option}
    with pytest.raises(CheckpointError, match=rf"nothing is guessed\. Give {option}= \("):
        from_deepr(folder, lr_grid=lr, **facts)


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"hour": "none"}, CheckpointError, "hour='none' does not suit.*hour='class'"),
        ({"hour": "timestep"}, CheckpointError, "does not suit.*num_class_embeds=24"),
        ({"hour": "daily"}, OptionError, "hour='daily' is not one of none, class"),
        ({"target": "noise"}, OptionError, "target='noise'"),
        ({"normalization": "minmax"}, OptionError, "normalization='minmax'"),
        ({"normalization": "scale"}, CheckpointError, r"Give scale= \(the training_scale"),
        ({"factor": 1}, OptionError, "factor=1: give a whole number from 2 to 8"),
        ({"factor": 2}, GridError, "has 20 HR cells, the model's fields have 24"),
        ({"predictors": {"t2m": {}}}, OptionError, "t2m.*no units"),
        ({"predictors": {"t2m": "K", "z": "m"}}, OptionError, "2 given.*1 channels"),
        ({"scale": SCALE, "normalization": "scale", "target": "residual"}, CheckpointError,
         "residual.*is not read"),
    ],
)  # fmt: skip
def test_facts_that_do_not_suit(folder, lr, facts, error, words):
    with pytest.raises(error, match=words):
        from_deepr(folder, lr_grid=lr, **{**FACTS, **facts})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "blue"}, r"config\.json: colour: unknown key\. Nearest.*delete it"),
        ({"in_channels": 3}, "twice as many inputs"),
        ({"block_out_channels": [8, 16, 24]}, "the network cannot be built|lacks the tensor"),
        ({"block_out_channels": [4096] * 8}, "is of a larger network|cannot be built"),
        ({"block_out_channels": 8}, "block_out_channels: should be a valid tuple"),
        ({"layers_per_block": 10**9}, "layers_per_block: should be less than or equal to 16"),
        ({"layers_per_block": 2}, "lacks the tensor"),
        ({"num_class_embeds": 12}, "at least 24 classes"),
        ({"num_class_embeds": 48}, r"'unet\.class_embedding\.weight' has the shape \(24, 32\)"),
        ({"sample_size": [24]}, r"sample_size\.1: missing"),
        ({"sample_size": [24, 10**6]}, r"sample_size\.1: should be less than or equal to 16384"),
        ({"down_block_types": ["DownBlock2D", "NoSuchBlock"]}, "the network cannot be built"),
        ({"norm_num_groups": 3}, "the network cannot be built"),
    ],
)
def test_configurations_that_are_wrong(changes, words, network, lr, tmp_path):
    folder = write_diffusion(tmp_path / "m", network, config={**UNET, **changes})
    with pytest.raises(CheckpointError, match=words):
        from_deepr(folder, lr_grid=lr, **FACTS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "blue"}, r"scheduler_config\.json: colour: unknown key\. Nearest"),
        ({"_class_name": "NoSuchScheduler"}, "NoSuchScheduler.*scheduler="),
        ({"_class_name": "EDMEulerScheduler"}, "not a table of betas"),
        ({"_class_name": None}, "does not say which scheduler"),
        ({"prediction_type": "flow"}, "prediction_type='flow' is not one of epsilon"),
        ({"beta_schedule": "wavy"}, "beta_schedule='wavy'"),
        ({"num_train_timesteps": "many"}, "num_train_timesteps='many'"),
    ],
)
def test_schedulers_that_are_wrong(changes, words, network, lr, tmp_path):
    folder = write_diffusion(tmp_path / "m", network, scheduler={**DDIM, **changes})
    with pytest.raises(CheckpointError, match=words):
        from_deepr(folder, lr_grid=lr, **FACTS)
