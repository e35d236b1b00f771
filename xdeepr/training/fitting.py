"""The verb: align the data, fit the normalization, train, and return a model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import numpy as np

from xdeepr._version import __version__
from xdeepr.downscaling.graph import resolve_device
from xdeepr.inputs.missing import Missing
from xdeepr.inputs.times import TIME_FEATURES, as_time_features, time_text
from xdeepr.models.card import Card, Diffusion, Target
from xdeepr.models.downscaler import Downscaler
from xdeepr.networks.calling import works_on_lr
from xdeepr.normalization import Method, Transform
from xdeepr.training.alignment import Aligned, XarrayObject
from xdeepr.training.batches import Batches
from xdeepr.training.holding_out import Period, split
from xdeepr.training.loop import Trainer
from xdeepr.training.normalizing import fit_latent, fit_normalization, land_masks
from xdeepr.training.options import DataOptions, ModelOptions, changed
from xdeepr.training.pairs import Pairs, make_pairs
from xdeepr.training.parts import AnyModel, Parts, find_parts
from xdeepr.training.precision import Precision
from xdeepr.training.recipes import recipe_for
from xdeepr.training.settings import Settings, seconds
from xdeepr.training.setup import draft_card, fresh_network, objective_for, with_network
from xdeepr.training.state import Kept
from xdeepr.training.windows import Draw

PACKAGES = ("torch", "diffusers", "numpy", "xarray")
"""Packages whose versions the card records."""


def fit(
    predictors: XarrayObject,
    labels: XarrayObject,
    *,
    model: str = "ddpm",
    covariates: XarrayObject | None = None,
    variables: Sequence[str] | None = None,
    time_features: Sequence[str] | Mapping[str, str] = TIME_FEATURES,
    base: AnyModel | None = None,
    autoencoder: AnyModel | None = None,
    target: Target | None = None,
    normalization: Method = "domain-wise",
    by_month: bool = False,
    covariate_dropout: float = 0.0,
    loss: str | None = None,
    context: int | None = None,
    missing: Missing = "error",
    validation: float | tuple[XarrayObject, XarrayObject] | None = 0.15,
    epochs: int | None = None,
    max_steps: int | None = None,
    max_time: float | str | None = None,
    batch_size: int = 32,
    learning_rate: float = 2e-3,
    patience: int = 20,
    window: int | tuple[int, int] | None = None,
    network: Mapping[str, Any] | None = None,
    diffusion: Mapping[str, Any] | None = None,
    precision: Precision = "auto",
    seed: int = 0,
    device: str | None = None,
    keep: str | os.PathLike[str] | None = None,
    name: str | None = None,
    progress: bool = True,
) -> Downscaler:
    """Train a model that downscales the predictors to the labels.

    Parameters
    ----------
    predictors : xarray.Dataset or xarray.DataArray
        Coarse fields on the LR grid. Its domain may be larger than that of the labels.
    labels : xarray.Dataset or xarray.DataArray
        The truth on the HR grid, whose cells must nest in the LR cells (factor 2 to 8). Times
        that both have are used.
    model : str, default: "ddpm"
        Kind of model. Diffusion: "ddpm", "unet" (DeepR's U-Net), "unet2d-condition" (attends to
        the LR fields), "latent". One field by one evaluation: "regression" (a U-Net), "swin2sr",
        "conv-swin2sr", "conv-baseline". Compression of HR fields: "autoencoder".
    covariates : xarray.Dataset or xarray.DataArray, optional
        Fields such as orography and land–sea mask, static or varying in time, on any grid that
        covers the HR domain: those on another grid are interpolated bilinearly. Static ones are
        kept with the model.
    variables : sequence of str, optional
        Labels to learn, by name. Needed if the labels hold more than one.
    time_features : sequence or mapping
        What the model knows of the time: names of "hour", "day_of_year", "local_solar_time" and
        "cos_solar_zenith", or a mapping of these to how: "cyclical" (the default), "class",
        "positional", "timestep", "none".
    base : Downscaler, path or str, optional
        A deterministic model whose output takes the place of the interpolation: the diffusion
        learns what it leaves.
    autoencoder : Downscaler, path or str, optional
        For "latent": the model that ``model="autoencoder"`` gave.
    target : {"residual", "field"}, optional
        Learn what HR adds to the base (the default), or HR itself.
    normalization : {"domain-wise", "pixel-wise", "landmask-wise", "instance"}
        Which cells share a mean and a deviation: all, none, those over land and those over sea
        (needs a land–sea mask among the covariates), or those of one field at one time.
    by_month : bool, default: False
        Fit the normalization to each month of the year by itself.
    covariate_dropout : float, default: 0
        Share of the training windows without covariates. Above 0 the model serves without them.
    loss : {"l2", "l1", "three-term"}, optional
        Of deterministic models. "three-term" is DeepR's: absolute errors of the field, of its
        block means and of the blurred field. Default: "l2" for U-Nets, otherwise "three-term".
    context : int, optional
        LR cells around a window that networks on the LR grid see. Default: what the LR domain has
        beyond the HR domain, between 2 and 8.
    missing : {"error", "mask", "fill"}
        What to do with missing values: refuse them, or ("mask" and "fill" alike) fill missing
        predictors from their nearest neighbours and learn only from the labels that are known.
        Cells without any label in training are missing in what the model makes of its domain.
    validation : float or (predictors, labels), default: 0.15
        The part of the period, taken from its end, or another pair of datasets, on which the
        training is watched: the best state is kept, and training stops early. None or 0: none.
    epochs, max_steps : int, optional
        Greatest length of the training. Without any limit: 100 epochs.
    max_time : float or str, optional
        Greatest duration in seconds, or as text: "15min". The learning rate is scheduled to
        fall to zero at the end of this time.
    batch_size : int, default: 32
        Windows in a batch.
    learning_rate : float, default: 2e-3
        Peak learning rate.
    patience : int, default: 20
        Evaluations without improvement after which the training stops.
    window : int or (int, int), optional
        Height and width of training windows in HR pixels. Default: the whole domain if it has
        at most 96 × 96 pixels, otherwise 64 × 64.
    network : mapping, optional
        Changes to the network, for example ``{"block_out_channels": (64, 128, 192)}``; ``name``
        chooses another of :data:`xdeepr.networks.NETWORKS`.
    diffusion : mapping, optional
        Changes to the noise levels and to what the network predicts, see
        :class:`xdeepr.models.card.Diffusion`.
    precision : {"auto", "float32", "bfloat16"}
        Arithmetic of the network in training. "auto": bfloat16 where the device computes in it.
    seed : int, default: 0
        Seed of weights, batches, noise and dropout.
    device : str, optional
        Torch device. Default: a GPU where there is one.
    keep : path-like, optional
        Folder in which the state of the training is kept. If it holds the state of the same
        training, that is taken up: with limits in steps or epochs, to the same weights.
    name : str, optional
        Name of the model, for its card and the history of what it makes.
    progress : bool, default: True
        Show a progress bar.

    Returns
    -------
    Downscaler

    Raises
    ------
    OptionError
        For an unknown kind of model or an option out of range.
    AxisError, VariableError, UnitsError
        If coordinates, variables or units are missing or ambiguous, or no time is shared.
    GridError
        If the HR grid does not nest in the LR grid.
    MissingValuesError
        If a field has missing values; names the variable and the time.
    TrainingError
        If the loss diverges, or `keep` holds the state of another training.

    References
    ----------
    Karras et al., 2022, arXiv:2206.00364 (noise levels and preconditioning); Mardani et al.,
    2023, arXiv:2309.15214 (diffusion of the residual).

    Examples
    --------
    One step of a tiny network; leave `max_steps` and `network` out, or give ``max_time="15min"``.

    >>> import xdeepr
    >>> lr, hr, statics = xdeepr.synthetic.example_pair(days=1)
    >>> tiny = {"block_out_channels": (8, 8), "layers_per_block": 1}
    >>> model = xdeepr.fit(
    ...     lr, hr, covariates=statics, max_steps=1, batch_size=2, network=tiny, progress=False
    ... )
    >>> model.card.name, model.card.factor, [q.name for q in model.card.covariates]
    ('t2m-x4', 4, ['orography', 'land_sea_mask'])
    >>> model.save("island").name
    'island'
    """
    recipe, changes = recipe_for(model, network, loss)
    settings = Settings(
        epochs, max_steps, seconds(max_time), batch_size, learning_rate,
        patience=patience, precision=precision, seed=seed,
    )  # fmt: skip
    options = ModelOptions(
        recipe, changes, as_time_features(time_features),
        changed(Diffusion(), diffusion, "diffusion"), name, target, context, covariate_dropout,
        window,
    )  # fmt: skip
    data = DataOptions(variables, validation, missing, normalization, by_month)
    period, held_out = split(predictors, labels, covariates, data)
    parts = find_parts(recipe, base, autoencoder, period.aligned)
    card = draft_card(options, period, parts)
    pairs = _pairs(period, card, parts, data)
    watched = None if held_out is None else _pairs(held_out, card, parts, data)
    card = replace(card, normalization=_normalization(pairs, card, period, parts, data))
    card = with_network(card, options, pairs, parts)
    net = fresh_network(card, seed, resolve_device(device))
    draw = Draw(
        seed, len(pairs), period.aligned.hr_grid.shape, card.tile, batch_size,
        grain=card.factor if works_on_lr(net) else card.scale,
        covariate_dropout=card.covariate_dropout,
    )  # fmt: skip
    trainer = Trainer(
        net,
        objective_for(recipe, card, net, parts),
        Batches(pairs, card, net),
        None if watched is None else Batches(watched, card, net),
        draw,
        settings,
    )
    kept = Kept(trainer, None if keep is None else Path(keep))
    with kept.noted():
        weights = trainer.run(show=progress, save=kept.save)
    return _model(trainer, weights, period.aligned, parts)


def _pairs(period: Period, card: Card, parts: Parts, options: DataOptions) -> Pairs:
    """Return training pairs, in memory if they fit."""
    base = parts.base_field(period, options.gaps)
    pairs = make_pairs(period, card, base, gaps=options.gaps).load()
    return pairs.with_statistics() if options.normalization == "instance" else pairs


def _normalization(
    pairs: Pairs, card: Card, period: Period, parts: Parts, options: DataOptions
) -> dict[str, Transform]:
    """Return the normalization, fitted to the training period."""
    land: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    if options.normalization == "landmask-wise":
        grids = period.aligned.lr_grid, period.aligned.hr_grid
        land = land_masks(grids, period.covariates, card.covariates)
    fitted = fit_normalization(
        pairs, card, options.normalization, by_month=options.by_month, land=land
    )
    if parts.autoencoder is not None:
        # the latent space belongs to targets as the autoencoder has seen them
        fitted["target"] = parts.autoencoder.card.normalization["target"]
        card = replace(card, normalization=fitted)
        fitted["latent"] = fit_latent(Batches(pairs, card, parts.autoencoder.network))
    return fitted


def _model(trainer: Trainer, weights: dict[str, Any], aligned: Aligned, parts: Parts) -> Downscaler:
    """Return the trained model, with a card that says how it was made."""
    pairs, grid = trainer.pairs, aligned.hr_grid
    trainer.network.load_state_dict(weights)
    card = replace(
        trainer.batches.card,
        training=_training_record(aligned, trainer),
        versions={"xdeepr": __version__} | {package: version(package) for package in PACKAGES},
    )
    arrays = {"values": pairs.statics, **dict(zip("yx", grid.values(), strict=True))}
    if card.training["masked"]:
        arrays["untrained"] = pairs.never_known().astype(np.float32)
    return Downscaler(
        card,
        trainer.network.to("cpu"),
        covariate_arrays={k: np.ascontiguousarray(v) for k, v in arrays.items()},
        curve=trainer.progress.curve,
        parts={role: model.to("cpu") for role, model in parts.models().items()},
    )


def _training_record(aligned: Aligned, trainer: Trainer) -> dict[str, Any]:
    """Return what the card says of the training."""
    pairs = trainer.pairs
    record: dict[str, Any] = {
        "period": [time_text(pairs.times.stamps[i]) for i in (0, -1)],
        "times": len(pairs),
        "months": sorted({int(m) for m in aligned.time.dt.month.values}),
        "predictor_range": _ranges(pairs.lr),
        "domain": aligned.hr_grid.extent(),
        "fingerprint": pairs.fingerprint(),
        "masked": pairs.gaps and bool(pairs.never_known().any()),
        "steps": trainer.progress.step,
        "seconds": round(trainer.progress.elapsed, 1),
        "settings": dataclasses.asdict(trainer.settings),
    }
    if trainer.held_out:
        record["validation_loss"] = trainer.progress.best
    return record


def _ranges(fields: Any) -> list[list[float]]:
    """Return the least and the greatest value of each predictor in training."""
    low, high = dask.compute(fields.min(axis=(0, 2, 3)), fields.max(axis=(0, 2, 3)))
    return [[float(a), float(b)] for a, b in zip(low, high, strict=True)]
