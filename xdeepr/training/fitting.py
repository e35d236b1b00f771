"""The verb: align the data, fit the normalization, train, and return a model."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dask
import numpy as np
import torch

from xdeepr import cf
from xdeepr._version import __version__
from xdeepr.blocks import Geometry
from xdeepr.card import Card, Diffusion, Quantity
from xdeepr.conditioning import (
    TIME_FEATURES,
    covariates_on,
    describe_covariates,
    time_channels,
    time_text,
)
from xdeepr.downscaler import Downscaler
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.lazy import resolve_device
from xdeepr.networks import build
from xdeepr.normalization import Normalization
from xdeepr.plan import make_plan
from xdeepr.training.alignment import Aligned, XarrayObject, align, fingerprint
from xdeepr.training.batches import Draw, Pairs, window_at
from xdeepr.training.loop import Trainer
from xdeepr.training.settings import Precision, Settings, seconds
from xdeepr.training.state import load_state

WHOLE_DOMAIN = 96
"""Domains up to this edge (in HR pixels) are trained on whole, larger ones in windows."""

WINDOW = 64
"""Edge of the training windows on larger domains."""

NETWORK = "unet2d"

PACKAGES = ("torch", "diffusers", "numpy", "xarray")


def fit(
    predictors: XarrayObject,
    labels: XarrayObject,
    *,
    model: str = "ddpm",
    covariates: XarrayObject | None = None,
    variables: Sequence[str] | None = None,
    time_features: Sequence[str] = TIME_FEATURES,
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
    model : {"ddpm"}
        Kind of model: "ddpm" is a diffusion model of the residual over the bicubically
        interpolated predictor.
    covariates : xarray.Dataset or xarray.DataArray, optional
        Static fields such as orography and land–sea mask. Those on another grid are
        interpolated bilinearly. They are kept with the model.
    variables : sequence of str, optional
        Labels to learn, by name. Needed if the labels hold more than one.
    time_features : sequence of {"hour", "day_of_year"}
        What the model is told of the time.
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
        Changes to the network, for example ``{"block_out_channels": (64, 128, 192)}``.
    diffusion : mapping, optional
        Changes to the noise levels, see :class:`xdeepr.card.Diffusion`.
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
    >>> model = xdeepr.fit(lr, hr, covariates=statics, max_time="15min")  # doctest: +SKIP
    >>> model.save("italy")  # doctest: +SKIP
    """
    if model != "ddpm":
        raise OptionError(f"model={model!r}: fit knows 'ddpm'.")
    settings = Settings(
        epochs, max_steps, seconds(max_time), batch_size, learning_rate,
        patience=patience, precision=precision, seed=seed,
    )  # fmt: skip
    noise = _changed(Diffusion(), diffusion or {}, "diffusion")
    aligned, held_out = _split(predictors, labels, variables, validation)
    statics, quantities = _statics(aligned, covariates)
    pairs = make_pairs(aligned, statics, time_features).load()
    watched = make_pairs(held_out, statics, time_features).load() if held_out else None
    draw = Draw(seed, len(pairs), aligned.hr_grid.shape, _window(aligned, window), batch_size)
    normalization = fit_normalization(pairs)
    config = _network_config(pairs, network or {})
    trainer = Trainer(
        _fresh_network(config, seed, resolve_device(device)),
        pairs, watched, draw, normalization, noise, settings,
    )  # fmt: skip
    if keep is not None:
        load_state(trainer, Path(keep))
    weights = trainer.run(show=progress, keep=Path(keep) if keep is not None else None)
    trainer.network.load_state_dict(weights)
    card = Card(
        name=name or f"{'-'.join(q.name for q in aligned.predictands)}-x{aligned.factor}",
        predictors=aligned.predictors,
        predictands=aligned.predictands,
        covariates=quantities,
        base=aligned.base,
        time_features=tuple(time_features),
        factor=aligned.factor,
        margin=aligned.margin,
        grid_kind=aligned.lr_grid.kind,
        resolution=(aligned.lr_grid.y.step, aligned.lr_grid.x.step),
        tile=draw.window,
        network={"name": NETWORK, "config": config},
        diffusion=noise,
        normalization=normalization,
        training=_training_record(aligned, pairs, trainer),
        versions={"xdeepr": __version__} | {package: version(package) for package in PACKAGES},
    )
    arrays = {"values": statics, "y": aligned.hr_grid.y.known(), "x": aligned.hr_grid.x.known()}
    return Downscaler(
        card,
        trainer.network.to("cpu"),
        covariate_arrays={k: np.ascontiguousarray(v) for k, v in arrays.items()},
        curve=trainer.progress.curve,
    )


def _changed(defaults: Any, changes: Mapping[str, Any], option: str) -> Any:
    """Return a dataclass with some fields changed; refuse unknown ones."""
    known = [f.name for f in dataclasses.fields(defaults)]
    unknown = sorted(set(changes) - set(known))
    if unknown:
        raise OptionError(f"{option}: unknown key {unknown[0]!r}. Known: {', '.join(known)}.")
    return dataclasses.replace(defaults, **changes)


def _split(
    predictors: XarrayObject,
    labels: XarrayObject,
    variables: Sequence[str] | None,
    validation: float | tuple[XarrayObject, XarrayObject] | None,
) -> tuple[Aligned, Aligned | None]:
    """Return the training part and the validation part."""
    aligned = align(predictors, labels, variables)
    if isinstance(validation, tuple):
        held_out = align(*validation, variables)
        _check_same_fields(aligned, held_out)
        return aligned, held_out
    if not validation:
        return aligned, None
    if not 0 < validation < 1:
        raise OptionError(
            f"validation={validation!r}: give a fraction between 0 and 1, or a pair of datasets"
            " (predictors, labels)."
        )
    times = aligned.time.size
    kept = times - round(times * validation)
    if kept in (0, times):
        return aligned, None
    return aligned.at(slice(0, kept)), aligned.at(slice(kept, None))


def _check_same_fields(training: Aligned, validation: Aligned) -> None:
    """Refuse a validation part on other grids or with other variables."""
    for ours, theirs in (
        (training.lr_grid, validation.lr_grid),
        (training.hr_grid, validation.hr_grid),
    ):
        for a, b in ((ours.y, theirs.y), (ours.x, theirs.x)):
            if a.size != b.size or np.abs(a.centres - b.centres).max() > 0.1 * a.step:
                raise GridError(
                    f"validation: {b.name!r} runs from {b.centres[0]:g} to {b.centres[-1]:g} in"
                    f" {b.size} cells, in training from {a.centres[0]:g} to {a.centres[-1]:g} in"
                    f" {a.size}: give both on the same grids."
                )
    for role in ("predictors", "predictands"):
        names = [
            [f"{q.name} [{q.units}]" for q in getattr(part, role)]
            for part in (training, validation)
        ]
        if names[0] != names[1]:
            raise VariableError(
                f"validation: the {role} are {', '.join(names[1])}, in training"
                f" {', '.join(names[0])}: give the same variables in the same units."
            )


def _statics(
    aligned: Aligned, covariates: XarrayObject | None
) -> tuple[np.ndarray, tuple[Quantity, ...]]:
    """Return the static covariates on the HR grid, and what they are."""
    if covariates is None:
        return np.zeros((0, *aligned.hr_grid.shape), dtype=np.float32), ()
    ds = cf.as_dataset(covariates)
    quantities = describe_covariates(ds)
    return covariates_on(aligned.hr_grid, ds, quantities), quantities


def make_pairs(aligned: Aligned, statics: np.ndarray, time_features: Sequence[str]) -> Pairs:
    """Return the arrays that training reads.

    Parameters
    ----------
    aligned : Aligned
        Predictors and labels.
    statics : numpy.ndarray
        Static covariates (covariate, y, x) on the HR grid.
    time_features : sequence of str
        See :mod:`xdeepr.conditioning`.

    Returns
    -------
    Pairs
    """
    shape = aligned.hr_grid.shape
    geometry = Geometry(
        make_plan(shape, tile=shape, overlap=0, block=max(shape)),
        aligned.factor,
        (aligned.margin[0], aligned.margin[2]),
        aligned.lr_grid.shape,
        aligned.hr_grid.origin(),
    )
    return Pairs(
        aligned.lr.data,
        aligned.hr.data,
        time_channels(aligned.time, time_features),
        [time_text(time) for time in aligned.time.values],
        statics,
        geometry,
        aligned.base,
        (tuple(q.name for q in aligned.predictors), tuple(q.name for q in aligned.predictands)),
    )


def fit_normalization(pairs: Pairs) -> dict[str, Normalization]:
    """Fit mean and deviation of predictors, residual and covariates to the training part.

    Parameters
    ----------
    pairs : Pairs
        The training part.

    Returns
    -------
    dict of str to Normalization
        The residual is only scaled: its mean is part of what the model learns.
    """
    whole = window_at((0, 0), pairs.geometry.plan.shape)
    times = list(range(len(pairs)))
    total, count = np.zeros(pairs.hr.shape[1]), 0
    for first in range(0, len(times), 32):
        residual = pairs.residual(*pairs.fields(times[first : first + 32], whole), whole)
        total += residual.double().square().sum(dim=(0, 2, 3)).numpy()
        count += residual[:, 0].numel()
    scale = np.sqrt(total / count)
    scale[scale == 0] = 1.0
    return {
        "predictors": Normalization.fit(pairs.lr),
        "residual": Normalization((0.0,) * len(scale), tuple(scale.tolist())),
        "covariates": Normalization.fit(pairs.covariates[None]),
    }


def _window(aligned: Aligned, window: int | tuple[int, int] | None) -> tuple[int, int]:
    """Return height and width of the training windows."""
    height, width = aligned.hr_grid.shape
    if window is None:
        whole = max(height, width) <= WHOLE_DOMAIN
        window = (height, width) if whole else (WINDOW, WINDOW)
    wanted = (window, window) if isinstance(window, int) else tuple(window)
    if len(wanted) != 2 or min(wanted) < 4:
        raise OptionError(f"window={window!r}: give one number or a pair, at least 4 HR pixels.")
    return min(wanted[0], height), min(wanted[1], width)


def _network_config(pairs: Pairs, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of the network: channels from the data, the rest as asked."""
    predictands = int(pairs.hr.shape[1])
    conditions = pairs.lr.shape[1] + pairs.covariates.shape[0] + pairs.time_channels.shape[1]
    for key in ("in_channels", "out_channels"):
        if key in changes:
            raise OptionError(f"network: {key!r} follows from the data; leave it out.")
    config = {"in_channels": int(predictands + conditions), "out_channels": predictands}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in changes.items()}
    return {**config, **plain}


def _fresh_network(config: dict[str, Any], seed: int, device: str) -> torch.nn.Module:
    """Return a network with initial weights that depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(NETWORK, config).to(device)


def _training_record(aligned: Aligned, pairs: Pairs, trainer: Trainer) -> dict[str, Any]:
    """Return what the card says of the training."""
    y, x = aligned.hr_grid.y, aligned.hr_grid.x
    record: dict[str, Any] = {
        "period": [pairs.times[0], pairs.times[-1]],
        "times": len(pairs),
        "months": sorted({int(m) for m in aligned.time.dt.month.values}),
        "predictor_range": _ranges(pairs.lr),
        "domain": f"{y.name} {y.edges[0]:g} to {y.edges[-1]:g}, {x.name} {x.edges[0]:g} to"
        f" {x.edges[-1]:g}",
        "fingerprint": fingerprint(pairs),
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
