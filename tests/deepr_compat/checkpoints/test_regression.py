"""DeepR's networks on the LR grid: the same numbers as the network called by hand."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

import xdeepr
from tests.deepr_compat.checkpoints.folders import (
    BASELINE,
    DDIM,
    INPUT_SHAPE,
    LR_FACTOR,
    SAMPLE_SIZE,
    SCALE,
    SWIN,
    UNET,
    in_kelvin,
    lr_dataset,
    normalized,
    roughen,
    unet,
    write_diffusion,
    write_json,
    write_regression,
)
from tests.networks.helpers import of_deepr
from xdeepr.deepr_compat import from_deepr
from xdeepr.errors import CheckpointError, GridError, OptionError
from xdeepr.grids import grid_of
from xdeepr.sampling.noise import NoiseKey, white_noise

FACTS: dict[str, Any] = {"predictors": {"t2m": "K"}}
CLASSES = {
    "conv_swin2sr": ("xdeepr.networks.conv_swin2sr", "ConvSwin2SR"),
    "convbilinear": ("xdeepr.networks.conv_baseline", "ConvBaseline"),
}
needs_transformers = pytest.mark.skipif(
    find_spec("transformers") is None, reason="ConvSwin2SR is built by transformers"
)
BOTH = [
    pytest.param(SWIN, id="conv-swin2sr", marks=needs_transformers),
    pytest.param(BASELINE, id="conv-baseline"),
]


def build(config):
    """The network itself, with DeepR's order of rows, and random weights."""
    module, name = CLASSES[config["model_type"]]
    torch.manual_seed(2)
    network = of_deepr(getattr(import_module(module), name), config)
    return roughen(network, 3)


@pytest.fixture
def lr():
    return lr_dataset(shape=INPUT_SHAPE)


@pytest.fixture
def hr_grid(lr):
    """Coordinates of the HR fields, with the names and the order of the data."""
    fine = grid_of(lr).refine(LR_FACTOR).crop((6, 6, 6, 6))
    return xr.Dataset(coords=fine.coordinates()).drop_dims("bnds")


@pytest.mark.parametrize("config", BOTH)
@pytest.mark.parametrize("weights", ["pytorch_model.bin", "model.safetensors"])
def test_same_field_as_the_network_by_hand(config, weights, lr, tmp_path):
    network = build(config)
    folder = write_regression(tmp_path / "m", network, config, weights=weights)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    out = lr.deepr.downscale(model)
    with torch.no_grad():
        wanted = in_kelvin(network(normalized(lr)), lr)
    assert out.t2m.shape == (3, *SAMPLE_SIZE)
    assert out.latitude[0] > out.latitude[-1]
    assert set(lr.time.dt.month.values) == {1, 2}
    np.testing.assert_allclose(out.t2m, wanted, atol=1e-3)
    turned = lr.isel(latitude=slice(None, None, -1)).deepr.downscale(model)
    np.testing.assert_array_equal(turned.t2m[:, ::-1], out.t2m)


@pytest.mark.parametrize("config", BOTH)
def test_coordinates_and_card(config, lr, hr_grid, tmp_path):
    folder = write_regression(tmp_path / "m", build(config), config)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    out = lr.deepr.downscale(model)
    xr.testing.assert_allclose(out.latitude.drop_attrs(), hr_grid.latitude.drop_attrs())
    xr.testing.assert_allclose(out.longitude.drop_attrs(), hr_grid.longitude.drop_attrs())
    card = model.card
    assert (card.kind, card.target, card.factor, card.context) == ("regression", "field", 3, 2)
    assert card.margin == (6, 6, 6, 6)
    assert card.tile == SAMPLE_SIZE
    with pytest.raises(OptionError, match="deterministic"):
        lr.deepr.downscale(model, members=3)


@pytest.mark.parametrize("config", BOTH)
def test_saved_and_loaded_it_is_the_same(config, lr, tmp_path):
    folder = write_regression(tmp_path / "m", build(config), config)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    loaded = xdeepr.load(model.save(tmp_path / "saved"))
    assert loaded.card.to_json() == model.card.to_json()
    np.testing.assert_array_equal(lr.deepr.downscale(model).t2m, lr.deepr.downscale(loaded).t2m)


@pytest.mark.parametrize("config", BOTH)
def test_scale_by_cell_and_none(config, lr, tmp_path):
    network = build(config)
    rng = np.random.default_rng(1)
    cells = {"features": INPUT_SHAPE, "label": SAMPLE_SIZE}
    numbers = {
        role: (rng.uniform(275, 290, shape), rng.uniform(2, 4, shape))
        for role, shape in cells.items()
    }
    scale = {
        role: {
            "method": "pixel-wise",
            "time-agg": "monthly",
            "average": mean.tolist(),
            "standard_deviation": std.tolist(),
        }
        for role, (mean, std) in numbers.items()
    }
    folder = write_regression(tmp_path / "m", network, config, scale=None)
    model = from_deepr(folder, lr_grid=lr, scale=scale, **FACTS)
    mean, std = numbers["features"]
    inputs = torch.from_numpy(((lr.t2m.values - mean) / std).astype("f4"))[:, None]
    with torch.no_grad():
        output = network(inputs)[:, 0].numpy()
    mean, std = numbers["label"]
    np.testing.assert_allclose(lr.deepr.downscale(model).t2m, output * std + mean, atol=1e-3)
    plain = from_deepr(folder, lr_grid=lr, normalization="none", **FACTS)
    with torch.no_grad():
        wanted = network(torch.from_numpy(lr.t2m.values)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(lr.deepr.downscale(plain).t2m, wanted, rtol=1e-4)


@needs_transformers
def test_static_fields_go_in_as_they_are(lr, hr_grid, tmp_path):
    config = {**SWIN, "num_high_res_covars": 2}
    network = build(config)
    rng = np.random.default_rng(4)
    statics = hr_grid.assign(
        orog=(("latitude", "longitude"), rng.uniform(0, 2, SAMPLE_SIZE), {"units": "km"}),
        lsm=(("latitude", "longitude"), rng.uniform(0, 1, SAMPLE_SIZE), {"units": "1"}),
    )
    folder = write_regression(tmp_path / "m", network, config)
    with pytest.raises(CheckpointError, match=r"Give covariates= \("):
        from_deepr(folder, lr_grid=lr, **FACTS)
    with pytest.raises(OptionError, match=r"covariates: 1 given.*has 2"):
        from_deepr(folder, lr_grid=lr, covariates=statics[["orog"]], **FACTS)
    model = from_deepr(folder, lr_grid=lr, covariates=statics, **FACTS)
    assert [q.name for q in model.card.covariates] == ["orog", "lsm"]
    fields = np.stack([statics.orog.values, statics.lsm.values]).astype("f4")
    with torch.no_grad():
        wanted = in_kelvin(network(normalized(lr), torch.from_numpy(fields)[None]), lr)
    np.testing.assert_allclose(lr.deepr.downscale(model).t2m, wanted, atol=1e-3)


@pytest.mark.parametrize("config", BOTH)
def test_diffusion_on_the_output_of_such_a_network(config, lr, tmp_path):
    """DeepR's obs_model: its output takes the place of the interpolated predictors."""
    base = build(config)
    sampler = {**UNET, "sample_size": list(SAMPLE_SIZE)}
    denoiser = unet(sampler)
    folder = tmp_path / "pipeline"
    write_diffusion(folder / "unet", denoiser, config=sampler, scheduler=None)
    write_json(folder / "scheduler" / "scheduler_config.json", DDIM)
    write_regression(folder / "obs_model", base, config, scale=None)
    write_json(folder / "training_scale.json", SCALE)
    index = {
        "_class_name": "cDDPMPipeline",
        "obs_model": ["deepr.model", config["architectures"][0]],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    write_json(folder / "model_index.json", index)
    facts = {**FACTS, "factor": 3, "hour": "class", "normalization": "scale"}
    fine = grid_of(lr).refine(LR_FACTOR).crop((6, 6, 6, 6))
    keys = lr.time.values.astype("datetime64[s]").astype(int)
    noise = [
        white_noise(NoiseKey(5, 0, int(k), 0), fine.origin(), SAMPLE_SIZE, period=fine.period)
        for k in keys
    ]
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**{k: v for k, v in DDIM.items() if k[0] != "_"})
    for target in ("field", "residual"):
        model = from_deepr(folder, lr_grid=lr, target=target, **facts)
        assert model.parts["base"].card.kind == "regression"
        out = lr.deepr.downscale(model, steps=4, seed=5)
        scheduler.set_timesteps(4)
        latents = torch.from_numpy(np.stack(noise)[:, None]).flip(-2)
        hours = torch.from_numpy(lr.time.dt.hour.values)
        with torch.no_grad():
            condition = base(normalized(lr))
            for t in scheduler.timesteps:
                seen = torch.cat([latents, condition], dim=1)
                output = denoiser(seen, t, class_labels=hours).sample
                latents = scheduler.step(output, t, latents).prev_sample
        latents = latents + condition if target == "residual" else latents
        wanted = in_kelvin(latents, lr)
        np.testing.assert_allclose(out.t2m, wanted, atol=1e-4 * wanted.std())
    saved = xdeepr.load(model.save(tmp_path / "saved"))
    again = lr.deepr.downscale(saved, steps=4, seed=5)
    np.testing.assert_array_equal(again.t2m, out.t2m)
    with pytest.raises(CheckpointError, match=r"instance.*is not read"):
        from_deepr(folder, lr_grid=lr, target="field", **{**facts, "normalization": "instance"})


@pytest.mark.parametrize("config", BOTH)
def test_base_model_from_a_folder_of_its_own(config, lr, tmp_path):
    """The flat folders that were published do not hold it."""
    sampler = {**UNET, "sample_size": list(SAMPLE_SIZE)}
    flat = write_diffusion(tmp_path / "flat", unet(sampler), config=sampler)
    base = write_regression(tmp_path / "base", build(config), config)
    facts = {**FACTS, "factor": 3, "hour": "class", "target": "field", "normalization": "scale"}
    model = from_deepr(flat, lr_grid=lr, base_model=base, scale=SCALE, **facts)
    assert model.card.channels == ("base",)
    assert np.isfinite(lr.deepr.downscale(model, steps=2).t2m).all()
    with pytest.raises(OptionError, match="Leave base_model out"):
        from_deepr(base, lr_grid=lr, base_model=base, **FACTS)


@pytest.mark.parametrize("config", BOTH)
def test_another_domain_goes_tile_by_tile(config, lr, tmp_path):
    """The network takes one size only: where a tile is that of the training, so is the field."""
    folder = write_regression(tmp_path / "m", build(config), config)
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    wide = lr_dataset(shape=(INPUT_SHAPE[0], 40))
    out = wide.deepr.downscale(model, overlap=0)
    assert out.t2m.shape == (3, SAMPLE_SIZE[0], 3 * 40 - 12)
    first = wide.isel(longitude=slice(0, INPUT_SHAPE[1])).deepr.downscale(model)
    np.testing.assert_allclose(out.t2m[..., : SAMPLE_SIZE[1]], first.t2m, atol=1e-3)
    assert np.isfinite(wide.deepr.downscale(model).t2m).all()


# --- what is not said, and what is wrong ---------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    return write_regression(tmp_path / "m", build(BASELINE), BASELINE)


def test_everything_that_is_missing_is_named_at_once(folder):
    (folder / "training_scale.json").unlink()
    with pytest.raises(CheckpointError) as raised:
        from_deepr(folder)
    for option in ("lr_grid", "predictors", "normalization"):
        assert f"{option}= (" in str(raised.value)
    with pytest.raises(CheckpointError, match=r"Give scale= \(the training_scale\.json"):
        from_deepr(folder, known_as="predictia/europe_reanalysis_downscaler_convbaseline")


@pytest.mark.parametrize(
    ("facts", "error", "words"),
    [
        ({"factor": 5}, OptionError, "factor=5.*for ×3"),
        ({"normalization": "instance"}, OptionError, "did not train a conv-baseline in this way"),
        ({"predictors": {"a": "K", "b": "K"}}, OptionError, "2 given"),
        ({"covariates": xr.Dataset()}, OptionError, "trained without any"),
    ],
)
def test_facts_that_do_not_suit(folder, lr, facts, error, words):
    with pytest.raises(error, match=words):
        from_deepr(folder, lr_grid=lr, **{**FACTS, **facts})


def test_another_domain_than_that_of_the_training(folder, lr):
    with pytest.raises(GridError, match=r"lr_grid has 11 × 16 cells.*12 × 16"):
        from_deepr(folder, lr_grid=lr.isel(latitude=slice(1, None)), **FACTS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"colour": "blue"}, "colour"),
        ({"auto_map": {"AutoModel": "modeling.ConvBaseline"}}, "auto_map"),
        ({"architectures": ["ConvBilinear"]}, "early network of DeepR.*newest revision"),
        ({"model_type": "resnet"}, "'resnet'.*ConvSwin2SR, ConvBaseline and UNet2DModel"),
        ({"input_shape": [12]}, "input_shape"),
        ({"input_shape": [11, 16]}, "four sides"),
        ({"upscale": "many"}, "upscale is .many., where a whole number is due"),
        (
            {"upblock_channels": [10**4, 10**4]},
            r"bin has .*config\.json is of a larger network",
        ),
        ({"upblock_channels": [10**9, 1]}, "above any network's"),
        ({"upblock_channels": [1] * 100}, "100 entries"),
        ({"upblock_channels": [7, 4]}, "the tensor 'cnns.0.conv1.weight' has the shape"),
        ({"num_channels": 2}, "channels|shape"),
    ],
)
def test_configurations_that_are_wrong(changes, words, lr, tmp_path):
    config = {**BASELINE, **changes}
    folder = write_regression(tmp_path / "m", build(BASELINE), config)
    with pytest.raises((CheckpointError, OptionError), match=words):
        from_deepr(folder, lr_grid=lr, **FACTS)


@pytest.mark.parametrize("name", ["config.json", "pytorch_model.bin"])
def test_missing_files(name, folder, lr):
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=r"has neither config\.json|has no weights.*again"):
        from_deepr(folder, lr_grid=lr, **FACTS)


def test_safetensors_go_before_a_pickle(folder, lr):
    """Where both are there the one that cannot run code is read."""
    other = roughen(build(BASELINE), 9)
    write_regression(folder, other, BASELINE, weights="model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    model = from_deepr(folder, lr_grid=lr, **FACTS)
    assert torch.equal(
        model.network.state_dict()["preprocess_model.weight"], other.preprocess_model.weight
    )


def test_a_checkpoint_of_xdeepr_is_another_thing(checkpoint, lr, tmp_path):
    with pytest.raises(OptionError, match=r"xdeepr\.load"):
        from_deepr(checkpoint)
    with pytest.raises(CheckpointError, match="neither a folder nor the id"):
        from_deepr(tmp_path / "nothing")


@needs_transformers
@pytest.mark.slow
def test_the_network_of_the_published_size(tmp_path):
    """12,383,377 parameters, as the training log of predictia/convswin2sr_mediterranean says."""
    from tests.deepr_compat.checkpoints.test_published import mediterranean

    config = {
        **SWIN,
        "depths": [6] * 6,
        "embed_dim": 180,
        "image_size": [32, 48],
        "input_shape": [44, 60],
        "num_heads": [6] * 6,
        "num_layers": 6,
        "real_upscale": 5,
        "sample_size": [160, 240],
        "upscale": 8,
        "window_size": 5,
    }
    network = build(config)
    assert sum(p.numel() for p in network.parameters()) == 12_383_377
    folder = write_regression(tmp_path / "m", network, config)
    lr = mediterranean()
    model = from_deepr(folder, known_as="predictia/convswin2sr_mediterranean")
    out = lr.deepr.downscale(model)
    with torch.no_grad():
        wanted = in_kelvin(network(normalized(lr)), lr)
    np.testing.assert_allclose(out.t2m, wanted, atol=2e-3)
    np.testing.assert_allclose(out.latitude[[0, -1]], [44.95, 37.0], atol=1e-9)
