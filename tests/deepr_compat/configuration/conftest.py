"""Configurations in the layout of DeepR, as its published files have it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples" / "deepr"

FIELDS = {
    "features_configuration": {
        "variables": ["t2m"],
        "data_name": "era5",
        "spatial_resolution": "025deg",
        "add_auxiliary": {
            "time": True,
            "lsm-low": True,
            "orog-low": True,
            "lsm-high": True,
            "orog-high": True,
        },
        "spatial_coverage": {"longitude": [-8.35, 6.6], "latitude": [46.45, 35.5]},
        "standardization": {"to_do": True, "cache_folder": "/scales", "method": "domain-wise"},
        "data_location": "/data/features/",
        "land_mask_location": "/data/static/land-mask_ERA5.nc",
        "orography_location": "/data/static/orography_ERA5.nc",
    },
    "label_configuration": {
        "variable": "t2m",
        "data_name": "cerra",
        "spatial_resolution": "005deg",
        "spatial_coverage": {"longitude": [-6.85, 5.1], "latitude": [44.95, 37]},
        "standardization": {"to_do": True, "cache_folder": "/scales", "method": "domain-wise"},
        "data_location": "/data/labels/",
        "land_mask_location": "/data/static/land-mask_CERRA.nc",
        "orography_location": "/data/static/orography_CERRA.nc",
    },
    "split_coverages": {
        "train": {"start": "1981-01", "end": "2013-12", "frequency": "MS"},
        "validation": {"start": "2014-01", "end": "2017-12", "frequency": "MS"},
        "test": {"start": "2018-01", "end": "2020-12", "frequency": "MS"},
    },
}

PARAMETERS = {
    "num_epochs": 30,
    "batch_size": 4,
    "learning_rate": 0.001,
    "lr_warmup_steps": 500,
    "mixed_precision": "fp16",
    "output_dir": "model",
    "device": "cpu",
    "seed": 2023,
}

DIFFUSION = {
    "data_configuration": FIELDS,
    "training_configuration": {
        "type": "diffusion",
        "model_configuration": {
            "eps_model": {
                "class_name": "diffusers.UNet2DModel",
                "kwargs": {
                    "block_out_channels": [16, 24, 32],
                    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
                    "up_block_types": ["AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
                    "layers_per_block": 2,
                    "time_embedding_type": "positional",
                    "num_class_embeds": 24,
                    "in_channels": 2,
                    "norm_num_groups": 4,
                },
            },
            "scheduler": {
                "class_name": "LMSDiscreteScheduler",
                "kwargs": {
                    "num_train_timesteps": 1000,
                    "beta_start": 0.0001,
                    "beta_end": 0.02,
                    "beta_schedule": "linear",
                    "prediction_type": "epsilon",
                    "rescale_betas_zero_snr": True,
                    "timestep_spacing": "trailing",
                },
            },
        },
        "training_parameters": {
            **PARAMETERS,
            "gradient_accumulation_steps": 4,
            "hour_embed_type": "class",
            "hf_repo_name": "someone/model",
        },
    },
}

SWIN = {
    "embed_dim": 128,
    "depths": [4, 4, 4, 4],
    "num_heads": [4, 4, 4, 4],
    "patch_size": 1,
    "window_size": 5,
    "num_channels": 1,
    "img_range": 1,
    "resi_connection": "1conv",
    "upsampler": "pixelshuffle",
    "interpolation_method": "bicubic",
    "hidden_dropout_prob": 0.0,
    "upscale": 5,
}

BASELINE = {
    "interpolation_method": "bicubic",
    "num_channels": 1,
    "upblock_kernel_size": [5, 3],
    "upblock_channels": [32, 16],
    "upscale": 5,
}

VQVAE = {
    "latent_channels": 1,
    "norm_num_groups": 8,
    "num_vq_embeddings": 256,
    "vq_embed_dim": 32,
    "down_block_types": ["DownEncoderBlock2D"] + 2 * ["AttnDownEncoderBlock2D"],
    "up_block_types": ["UpDecoderBlock2D"] + 2 * ["AttnUpDecoderBlock2D"],
    "block_out_channels": [8, 16, 16],
}

OLD_PERIODS = {
    "temporal_coverage": {"start": "1985-01", "end": "2020-12", "frequency": "MS"},
    "data_split": {"test": 0.2, "validation": 0.3},
}


def end2end(class_name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A regression in the older spelling of DeepR's data section."""
    fields = copy.deepcopy(FIELDS)
    del fields["split_coverages"]
    for name in ("features_configuration", "label_configuration"):
        section = fields[name]
        section["data_dir"] = section.pop("data_location")
        section["apply_standardization"] = section.pop("standardization")["to_do"]
        for key in ("land_mask_location", "orography_location"):
            del section[key]
    fields["features_configuration"]["add_auxiliary"] = False
    network = {"class_name": class_name, "kwargs": kwargs}
    return {
        "data_configuration": {**fields, "common_configuration": OLD_PERIODS},
        "training_configuration": {
            "type": "end2end",
            "model_configuration": {"neural_network": network},
            "training_parameters": {**PARAMETERS, "save_image_epochs": 5, "save_model_epochs": 10},
        },
    }


def vqvae() -> dict[str, Any]:
    """An autoencoder: labels only."""
    whole = end2end("diffusers.VQModel", VQVAE)
    del whole["data_configuration"]["features_configuration"]
    whole["training_configuration"]["type"] = "autoencoder"
    whole["training_configuration"]["training_parameters"]["hour_embed_type"] = "class"
    return whole


def evaluation() -> dict[str, Any]:
    """A trained model to score: no keywords, no parameters."""
    whole = end2end("ConvSwin2SR", {})
    whole["data_configuration"]["common_configuration"] = {
        "temporal_coverage": {"start": "2018-01", "end": "2019-12", "frequency": "MS"},
        "data_split": {"test": 1},
    }
    network = {"class_name": "ConvSwin2SR", "trained_model_dir": "someone/model"}
    whole["training_configuration"] = {
        "type": "end2end",
        "model_configuration": {"neural_network": network},
    }
    return whole


KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "diffusion": lambda: DIFFUSION,
    "swin2sr": lambda: end2end("ConvSwin2SR", SWIN),
    "bicubic": lambda: end2end("ConvBaseline", BASELINE),
    "evaluation": evaluation,
    "vqvae": vqvae,
}


@pytest.fixture(params=KINDS)
def published(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What each of DeepR's published files holds, to be changed at will."""
    return copy.deepcopy(KINDS[request.param]())


@pytest.fixture
def diffusion() -> dict[str, Any]:
    """What DeepR's file of its diffusion model holds."""
    return copy.deepcopy(DIFFUSION)


def change(configuration: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Set one key, given by its path, and return the whole."""
    *above, key = path.split(".")
    section = configuration
    for name in above:
        section = section[name]
    section[key] = value
    return configuration
