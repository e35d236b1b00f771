"""Folders as DeepR and the libraries it used wrote them, with small networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from safetensors.torch import save_file

FACTOR = 4
LR_SHAPE, HR_SHAPE = (10, 12), (24, 32)
"""LR cells, and HR cells: 8 HR cells less than the LR domain on each side."""

UNET = {
    "_class_name": "UNet2DModel",
    "_diffusers_version": "0.18.2",
    "act_fn": "silu",
    "add_attention": True,
    "attention_head_dim": 8,
    "block_out_channels": [8, 16],
    "center_input_sample": False,
    "class_embed_type": None,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "downsample_padding": 1,
    "downsample_type": "conv",
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 2,
    "layers_per_block": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 4,
    "num_class_embeds": 24,
    "out_channels": 1,
    "resnet_time_scale_shift": "default",
    "sample_size": list(HR_SHAPE),
    "time_embedding_type": "positional",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "upsample_type": "conv",
}
"""The keys of DeepR's published models, and their order; fewer and narrower levels."""

DDIM = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.21.4",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "trailing",
    "trained_betas": None,
}

SCALE = {
    role: {
        "method": "domain-wise",
        "time-agg": "monthly",
        "average": [warm + month for month in range(12)],
        "standard_deviation": [spread + 0.1 * month for month in range(12)],
    }
    for role, warm, spread in (("features", 280.0, 3.0), ("label", 279.0, 4.0))
}
"""Another mean and deviation for each month, and for predictors and target."""

Rename = Callable[[str], str]


def write_json(file: Path, data: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n")


def write_weights(file: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write tensors by name: safetensors or a pickle, whatever the ending says."""
    file.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    if file.suffix == ".safetensors":
        save_file(plain, file)
    else:
        torch.save(plain, file)


def roughen(network: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter random numbers, so that all of them matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def unet(config: Mapping[str, Any] = UNET) -> Any:
    """Return diffusers' own network with random weights."""
    from diffusers import UNet2DModel

    torch.manual_seed(1)
    keywords = {k: v for k, v in config.items() if not k.startswith("_")}
    return roughen(UNet2DModel(**keywords))


def old_attention(name: str) -> str:
    """Return the name that diffusers gave a tensor before 0.17."""
    for new, old in (
        ("to_q", "query"),
        ("to_k", "key"),
        ("to_v", "value"),
        ("to_out.0", "proj_attn"),
    ):
        name = name.replace(f".{new}.", f".{old}.")
    return name


def write_diffusion(
    folder: Path,
    network: torch.nn.Module,
    *,
    config: Mapping[str, Any] = UNET,
    scheduler: Mapping[str, Any] | None = DDIM,
    weights: str = "diffusion_pytorch_model.safetensors",
    rename: Rename = lambda name: name,
) -> Path:
    """Write the flat folder of a diffusion model."""
    write_json(folder / "config.json", config)
    state = {rename(name): tensor for name, tensor in network.state_dict().items()}
    write_weights(folder / weights, state)
    if scheduler is not None:
        write_json(folder / "scheduler_config.json", scheduler)
    return folder


def lr_dataset(times: int = 3, shape: tuple[int, int] = LR_SHAPE) -> xr.Dataset:
    """Return temperatures in K on the LR grid, northernmost row first."""
    rng = np.random.default_rng(5)
    y, x = (np.arange(n) for n in shape)
    wave = np.sin(y / 3)[:, None] + np.cos(x / 4)[None]
    values = 285 + 5 * wave + rng.standard_normal((times, *shape))
    coords = {
        "time": np.datetime64("2020-01-31T21:00", "ns") + np.arange(times) * np.timedelta64(3, "h"),
        "latitude": ("latitude", 50.0 - y, {"units": "degrees_north"}),
        "longitude": ("longitude", 1.0 + x, {"units": "degrees_east"}),
    }
    field = (("time", "latitude", "longitude"), values.astype("float32"), {"units": "K"})
    ds = xr.Dataset({"t2m": field}, coords)
    ds.t2m.attrs["standard_name"] = "air_temperature"
    return ds


def north_first(ds: xr.Dataset) -> torch.Tensor:
    """Return a field as DeepR's data loader does, (time, 1, y, x)."""
    assert ds.latitude[0] > ds.latitude[-1]
    return torch.from_numpy(ds.t2m.values)[:, None]


# --- networks on the LR grid: ×3, 12 × 16 LR cells with 2 of context, 24 × 36 HR cells -----------

LR_FACTOR = 3
INPUT_SHAPE, SAMPLE_SIZE = (12, 16), (24, 36)

SWIN = {
    "architectures": ["ConvSwin2SR"],
    "attention_probs_dropout_prob": 0.0,
    "depths": [2, 2],
    "drop_path_rate": 0.1,
    "embed_dim": 8,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "image_size": [8, 12],
    "img_range": 1,
    "initializer_range": 0.02,
    "input_shape": list(INPUT_SHAPE),
    "interpolation_method": "bicubic",
    "layer_norm_eps": 1e-05,
    "mlp_ratio": 2.0,
    "model_type": "conv_swin2sr",
    "num_channels": 1,
    "num_heads": [2, 2],
    "num_high_res_covars": 0,
    "num_layers": 2,
    "patch_size": 1,
    "qkv_bias": True,
    "real_upscale": LR_FACTOR,
    "resi_connection": "1conv",
    "sample_size": list(SAMPLE_SIZE),
    "torch_dtype": "float32",
    "transformers_version": "4.33.1",
    "upsampler": "pixelshuffle",
    "upscale": 4,
    "use_absolute_embeddings": False,
    "window_size": 2,
}
"""The keys of predictia/convswin2sr_mediterranean."""

BASELINE = {
    "architectures": ["ConvBaseline"],
    "image_size": [8, 12],
    "input_shape": list(INPUT_SHAPE),
    "interpolation_method": "bicubic",
    "model_type": "convbilinear",
    "num_channels": 1,
    "sample_size": list(SAMPLE_SIZE),
    "torch_dtype": "float32",
    "transformers_version": "4.30.2",
    "upblock_channels": [6, 4],
    "upblock_kernel_size": [5, 3],
    "upscale": LR_FACTOR,
    "upscale_power2": 2,
}
"""The keys of predictia/europe_reanalysis_downscaler_convbaseline."""


def write_regression(
    folder: Path,
    network: torch.nn.Module,
    config: Mapping[str, Any],
    *,
    scale: Mapping[str, Any] | None = SCALE,
    weights: str = "pytorch_model.bin",
) -> Path:
    """Write the folder of a network on the LR grid."""
    write_json(folder / "config.json", config)
    write_weights(folder / weights, network.state_dict())
    if scale is not None:
        write_json(folder / "training_scale.json", scale)
    return folder


def normalized(ds: xr.Dataset) -> torch.Tensor:
    """Return predictors as DeepR's scaler does, northernmost row first."""
    return _scaled(north_first(ds), ds, "features", inverse=False)


def in_kelvin(values: torch.Tensor, ds: xr.Dataset) -> np.ndarray:
    """Return a network's output in physical units, (time, y, x), northernmost row first."""
    return _scaled(values, ds, "label", inverse=True)[:, 0].numpy()


def _scaled(values: torch.Tensor, ds: xr.Dataset, role: str, *, inverse: bool) -> torch.Tensor:
    index = ds.time.dt.month.values - 1
    mean, std = (
        torch.tensor(SCALE[role][key], dtype=values.dtype)[index][:, None, None, None]
        for key in ("average", "standard_deviation")
    )
    return values * std + mean if inverse else (values - mean) / std
