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
import xarray as xr

from xdeepr import cf
from xdeepr._version import __version__
from xdeepr.downscaling.graph import resolve_device
from xdeepr.errors import GridError, OptionError, VariableError
from xdeepr.inputs.missing import Missing, check_missing
from xdeepr.inputs.times import TIME_FEATURES, as_time_features, time_text
from xdeepr.models.card import CHANNELS, USUAL_CHANNELS, Card, Diffusion, Target
from xdeepr.models.downscaler import Downscaler
from xdeepr.networks import network_class
from xdeepr.networks.calling import works_on_lr
from xdeepr.normalization import Method
from xdeepr.training.alignment import (
    Aligned,
    XarrayObject,
    align,
    fingerprint,
    without_missing,
)
from xdeepr.training.batches import Draw, Pairs
from xdeepr.training.loop import Trainer
from xdeepr.training.parts import AnyModel, Parts, find_parts
from xdeepr.training.precision import Precision
from xdeepr.training.preparation import (
    covariate_quantities,
    fit_normalization,
    land_masks,
    make_pairs,
    with_statistics,
)
from xdeepr.training.recipes import Recipe, recipe_for
from xdeepr.training.settings import Settings, seconds
from xdeepr.training.setup import fresh_network, network_config, objective_for, window_of
from xdeepr.training.state import Kept, load_state

PACKAGES = ("torch", "diffusers", "numpy", "xarray")


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
        What the model is told of the time: names of "hour", "day_of_year", "local_solar_time" and
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
    >>> model = xdeepr.fit(lr, hr, covariates=statics, max_time="15min")  # doctest: +SKIP
    >>> model.save("italy")  # doctest: +SKIP
    """
    recipe, changes = recipe_for(model, network, loss)
    settings = Settings(
        epochs, max_steps, seconds(max_time), batch_size, learning_rate,
        patience=patience, precision=precision, seed=seed,
    )  # fmt: skip
    statics = None if covariates is None else cf.as_dataset(covariates)
    check_missing(missing)
    gaps = missing != "error"
    aligned, held_out = _split(predictors, labels, variables, validation, gaps)
    parts = find_parts(recipe, base, autoencoder, aligned)
    card = _draft(
        recipe, aligned, statics, parts, name=name, target=target, context=context,
        time_features=as_time_features(time_features), covariate_dropout=covariate_dropout,
        diffusion=_changed(Diffusion(), diffusion or {}, "diffusion"),
    )  # fmt: skip
    pairs = _pairs(aligned, predictors, card, statics, parts, normalization, gaps)
    watched = None
    if held_out is not None:
        source = validation[0] if isinstance(validation, tuple) else predictors
        watched = _pairs(held_out, source, card, statics, parts, normalization, gaps)
    card = _normalized(card, pairs, aligned, statics, parts, normalization, by_month)
    shape = window_of(aligned, window, recipe, card)
    config = network_config(recipe, card, pairs, shape, changes, parts)
    card = replace(card, tile=shape, network={"name": recipe.network, "config": config})
    net = fresh_network(card, seed, resolve_device(device))
    draw = Draw(
        seed, len(pairs), aligned.hr_grid.shape, shape, batch_size,
        grain=card.factor if works_on_lr(net) else card.scale,
        covariate_dropout=card.covariate_dropout,
    )  # fmt: skip
    objective = objective_for(recipe, card, net, parts)
    trainer = Trainer(net, card, objective, pairs, watched, draw, settings)
    return _train(trainer, aligned, progress, None if keep is None else Path(keep), parts)


def _train(
    trainer: Trainer, aligned: Aligned, progress: bool, keep: Path | None, parts: Parts
) -> Downscaler:
    """Run the training and return the model."""
    if keep is not None:
        load_state(trainer, keep)
    kept = Kept(trainer, keep)
    with kept.noted():
        weights = trainer.run(show=progress, save=kept.save)
    trainer.network.load_state_dict(weights)
    card = replace(
        trainer.card,
        training=_training_record(aligned, trainer.pairs, trainer),
        versions={"xdeepr": __version__} | {package: version(package) for package in PACKAGES},
    )
    grid = aligned.hr_grid
    arrays = {"values": trainer.pairs.statics, **dict(zip("yx", grid.known(), strict=True))}
    if card.training["masked"]:
        arrays["untrained"] = trainer.pairs.never_known().astype(np.float32)
    return Downscaler(
        card,
        trainer.network.to("cpu"),
        covariate_arrays={k: np.ascontiguousarray(v) for k, v in arrays.items()},
        curve=trainer.progress.curve,
        parts={role: part.to("cpu") for role, part in parts.models().items()},
    )


def _draft(
    recipe: Recipe,
    aligned: Aligned,
    covariates: xr.Dataset | None,
    parts: Parts,
    *,
    name: str | None,
    target: Target | None,
    context: int | None,
    time_features: dict[str, str],
    covariate_dropout: float,
    diffusion: Diffusion,
) -> Card:
    """Return the card without what is only known later: normalization, network, results."""
    if not 0 <= covariate_dropout < 1:
        raise OptionError(f"covariate_dropout={covariate_dropout!r}: give a number from 0 to 1.")
    if target not in (None, "residual", "field"):
        raise OptionError(f"target={target!r}: choose 'residual' or 'field'.")
    static, varying = covariate_quantities(covariates)
    if covariate_dropout and not (static or varying):
        raise OptionError("covariate_dropout: there are no covariates= that could be left out.")
    on_lr = works_on_lr(network_class(recipe.network))
    known = parts.autoencoder.card.target if parts.autoencoder else "residual"
    return Card(
        name=name or f"{'-'.join(q.name for q in aligned.predictands)}-x{aligned.factor}",
        kind=recipe.kind,
        predictors=aligned.predictors,
        predictands=aligned.predictands,
        covariates=static,
        varying=varying,
        base=aligned.base,
        target=target or known,
        channels=CHANNELS if parts.base else USUAL_CHANNELS,
        time_features=time_features,
        covariate_dropout=float(covariate_dropout),
        factor=aligned.factor,
        margin=aligned.margin,
        grid_kind=aligned.lr_grid.kind,
        resolution=(aligned.lr_grid.y.step, aligned.lr_grid.x.step),
        tile=aligned.hr_grid.shape,
        context=_context(context, aligned) if on_lr else 0,
        scale=parts.scale,
        network={},
        diffusion=diffusion,
        normalization={},
    )


def _context(context: int | None, aligned: Aligned) -> int:
    """Return the LR cells around a window that the network sees."""
    if context is None:
        return min(max(2, min(aligned.margin) // aligned.factor), 8)
    if isinstance(context, bool) or not isinstance(context, int) or context < 0:
        raise OptionError(f"context={context!r}: give a whole number of LR cells, 0 or more.")
    return context


def _pairs(
    aligned: Aligned,
    predictors: XarrayObject,
    card: Card,
    covariates: xr.Dataset | None,
    parts: Parts,
    method: Method,
    gaps: bool,
) -> Pairs:
    """Return training pairs, in memory if they fit."""
    base = parts.base_field(predictors, aligned, covariates, "fill" if gaps else "error")
    pairs = make_pairs(aligned, card, covariates, base, gaps=gaps).load()
    return with_statistics(pairs) if method == "instance" else pairs


def _normalized(
    card: Card,
    pairs: Pairs,
    aligned: Aligned,
    covariates: xr.Dataset | None,
    parts: Parts,
    method: Method,
    by_month: bool,
) -> Card:
    """Return the card with the normalization fitted to the training part."""
    land = land_masks(aligned, covariates, card) if method == "landmask-wise" else None
    fitted = fit_normalization(pairs, card, method=method, by_month=by_month, land=land)
    if parts.autoencoder is not None:
        # the latent space belongs to targets as the autoencoder has seen them
        fitted["target"] = parts.autoencoder.card.normalization["target"]
        fitted["latent"] = parts.fit_latent(pairs, replace(card, normalization=fitted))
    return replace(card, normalization=fitted)


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
    gaps: bool,
) -> tuple[Aligned, Aligned | None]:
    """Return the training part and the validation part."""
    mend = without_missing if gaps else (lambda part: part)
    aligned = mend(align(predictors, labels, variables))
    if isinstance(validation, tuple):
        held_out = mend(align(*validation, variables))
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


def _training_record(aligned: Aligned, pairs: Pairs, trainer: Trainer) -> dict[str, Any]:
    """Return what the card says of the training."""
    record: dict[str, Any] = {
        "period": [time_text(pairs.times.stamps[i]) for i in (0, -1)],
        "times": len(pairs),
        "months": sorted({int(m) for m in aligned.time.dt.month.values}),
        "predictor_range": _ranges(pairs.lr),
        "domain": aligned.hr_grid.extent(),
        "fingerprint": fingerprint(pairs),
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
