"""Compare what a configuration says of channels and sizes with the data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import ceil, log2
from typing import Any

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.planning import Stage
from xdeepr.errors import OptionError
from xdeepr.grids import grid_of, relate


@dataclass(frozen=True)
class Shapes:
    """Channels and sizes of the data.

    Parameters
    ----------
    features, labels, statics : int
        Number of LR fields, of labels, and of static covariates.
    time_channels : int
        Number of fields that tell of the time.
    factor : int
        HR cells in an LR cell.
    lr, hr : tuple of int
        Sizes of the domains.
    """

    features: int
    labels: int
    statics: int
    time_channels: int
    factor: int
    lr: tuple[int, int]
    hr: tuple[int, int]


def shapes_of(lr: xr.Dataset, hr: xr.Dataset, stage: Stage) -> Shapes:
    """Return channels and sizes of the data of a stage.

    Parameters
    ----------
    lr, hr : xarray.Dataset
        Fields and labels.
    stage : Stage
        What is trained.
    """
    lr_grid, hr_grid = grid_of(lr), grid_of(hr)
    factor, _ = relate(lr_grid, hr_grid)
    features = stage.options.get("time_features", {})
    doubled = sum(how == "cyclical" for how in features.values())
    fields = sum(how == "field" for how in features.values())
    return Shapes(
        len(cf.spatial_variables(lr, cf.find_axes(lr))),
        len(stage.options["variables"]),
        len(stage.statics),
        2 * doubled + fields,
        factor,
        lr_grid.shape,
        hr_grid.shape,
    )


def check_agreement(stage: Stage, shapes: Shapes, latent_channels: int | None = None) -> None:
    """Refuse a configuration that contradicts its data.

    Channels may be counted as DeepR does, fields alone, or with all that xdeepr puts beside them.

    Parameters
    ----------
    stage : Stage
        What it says.
    shapes : Shapes
        The data.
    latent_channels : int, optional
        Channels of a latent space.

    Raises
    ------
    OptionError
        Names the key, the number and what it should be.
    """
    allowed = _allowed(stage, shapes, latent_channels)
    for key, value in stage.stated.items():
        said = tuple(value) if isinstance(value, list) else value
        fitting = allowed[key]
        if key == "upscale" and stage.stated.get("real_upscale") == shapes.factor:
            fitting = {shapes.factor, 2 ** ceil(log2(shapes.factor))}
        if said not in fitting:
            right = " or ".join(_text(v) for v in sorted(fitting, key=str))
            raise OptionError(
                f"{stage.path}.kwargs.{key} is {_text(said)}, but the data make it {right}"
                f" ({_words(shapes)}): leave {key} out, it follows from the data."
            )


def _allowed(
    stage: Stage, shapes: Shapes, latent_channels: int | None
) -> Mapping[str, Collection[Any]]:
    """Return the values that each key may have."""
    drawn = shapes.labels if latent_channels is None else latent_channels
    more = shapes.statics + shapes.time_channels
    model = stage.options["model"]
    if model == "autoencoder":
        inputs = {shapes.labels}
    elif model in ("ddpm", "unet", "unet2d-condition", "latent"):
        inputs = {drawn + shapes.features, drawn + shapes.features + more}
    else:
        inputs = {shapes.features, shapes.features + more}
    window = stage.options.get("window", shapes.hr)
    sizes = {shapes.hr, tuple(window)} | ({shapes.hr[0]} if len(set(shapes.hr)) == 1 else set())
    coarse = (shapes.hr[0] // shapes.factor, shapes.hr[1] // shapes.factor)
    return {
        "in_channels": inputs,
        "out_channels": {drawn},
        "image_channels": {drawn},
        "num_channels": {shapes.features, shapes.labels},
        "num_channels_out": {shapes.labels},
        "sample_size": sizes,
        "image_size": {coarse} | ({coarse[0]} if len(set(coarse)) == 1 else set()),
        "input_shape": {shapes.lr},
        "upscale": {shapes.factor},
        "real_upscale": {shapes.factor},
        "num_high_res_covars": {shapes.statics},
        "num_low_res_covars": {0},
    }


def _text(value: Any) -> str:
    return " × ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _words(shapes: Shapes) -> str:
    """Say what the data are."""
    lr, hr = _text(shapes.lr), _text(shapes.hr)
    return (
        f"{shapes.features} coarse and {shapes.labels} fine field(s), {shapes.statics} static,"
        f" {shapes.time_channels} of the time; {lr} coarse and {hr} fine cells,"
        f" factor {shapes.factor}"
    )
