"""Make a :class:`~xdeepr.Downscaler` of a checkpoint of DeepR."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from xdeepr.deepr_compat.checkpoints.description import (
    PUBLISHED,
    Description,
    Facts,
    Hour,
    Predictors,
    Scaling,
    Source,
    Target,
)
from xdeepr.deepr_compat.checkpoints.layouts import find_layout
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.models.stored_arrays import CARD

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler


def from_deepr(
    source: str | os.PathLike[str],
    *,
    known_as: str | None = None,
    lr_grid: xr.Dataset | xr.DataArray | None = None,
    hr_grid: xr.Dataset | xr.DataArray | None = None,
    factor: int | None = None,
    predictors: Predictors | None = None,
    covariates: xr.Dataset | xr.DataArray | None = None,
    hour: Hour | None = None,
    target: Target | None = None,
    normalization: Scaling | None = None,
    scale: Source | None = None,
    scheduler: Source | None = None,
    base_model: str | os.PathLike[str] | None = None,
    name: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Downscaler:
    """Load a checkpoint of DeepR, the predecessor of this package.

    Read are its ConvSwin2SR, its ConvBaseline, and diffusion models on diffusers' ``UNet2DModel``,
    from the folders that they are published in. What a folder does not say is known for the models
    that DeepR published; for others it has to be given. Nothing is guessed.

    Parameters
    ----------
    source : str or path-like
        A folder, or the id of a repository on the Hub.
    known_as : str, optional
        For a copied folder: the id of the repository that it was copied from, so that what is
        known of that model is used.
    lr_grid, hr_grid : xarray.Dataset or xarray.DataArray, optional
        Anything on the LR and on the HR grid of the training, exactly on its domain. Without
        `hr_grid` the HR fields lie in the middle of the LR domain, as DeepR took it.
    factor : int, optional
        HR cells in an LR cell along each axis, where there is no `hr_grid`.
    predictors : mapping, optional
        Name -> units, or attributes with ``units``, of what is downscaled, in the order of the
        channels: ``{"t2m": "K"}``. Predictands are the same quantities.
    covariates : xarray.Dataset or xarray.DataArray, optional
        Static HR fields, for networks that were trained with some, in their order. They go into
        the network as they are, as in DeepR.
    hour : {"none", "class", "timestep", "positional"}, optional
        Embedding of the hour of the day (UTC) in a diffusion model.
    target : {"field", "residual"}, optional
        Whether a diffusion model draws the HR field, or what it adds to the condition.
    normalization : {"instance", "scale", "none"}, optional
        How the numbers that the network sees were made: with the mean and deviation of each
        interpolated field, with `scale`, or not at all.
    scale : path-like or mapping, optional
        DeepR's ``training_scale.json``, where the folder has none.
    scheduler : path-like or mapping, optional
        A ``scheduler_config.json``, where the folder has none.
    base_model : path-like, optional
        Folder of the ConvSwin2SR or ConvBaseline whose output a diffusion model was conditioned
        on, where it is not in the folder itself (``trained_obs_model`` in DeepR).
    name : str, optional
        Name of the model. Default: the last part of `source`.
    revision, token, cache_dir, local_files_only
        As in :func:`xdeepr.from_hub`.

    Returns
    -------
    Downscaler
        As any other model: ``ds.deepr.downscale(model=...)``, ``model.save(...)``.

    Raises
    ------
    CheckpointError
        If a file is missing, damaged or would run code, if configuration and weights do not suit
        each other, or if something is not known; names what to give.
    OptionError, GridError
        If an option does not suit the model.
    DataUnavailableError
        If a repository cannot be fetched.

    Notes
    -----
    Pickled weights (``pytorch_model.bin``) are read with ``weights_only=True``: nothing in them
    is run.

    Examples
    --------
    >>> model = xdeepr.from_deepr("predictia/convswin2sr_mediterranean")  # doctest: +SKIP
    """
    folder, repo_id = _locate(
        source, revision=revision, token=token, cache_dir=cache_dir, only_local=local_files_only
    )
    known_as = known_as or repo_id
    if (folder / CARD).is_file():
        raise OptionError(
            f"{source} is a checkpoint of xdeepr itself: use xdeepr.load(...) or"
            " xdeepr.models.hub.from_hub(...)."
        )
    given = Description(
        where=known_as or str(folder),
        facts=PUBLISHED.get(known_as or "", Facts()),
        lr_grid=lr_grid,
        hr_grid=hr_grid,
        factor=factor,
        predictors=predictors,
        covariates=covariates,
        hour=hour,
        target=target,
        normalization=normalization,
        scale=scale,
        scheduler=scheduler,
    )
    layout = find_layout(folder)
    name = name or (known_as or folder.resolve().name).rsplit("/", 1)[-1]
    base = find_layout(Path(base_model)) if base_model is not None else layout.base
    if layout.kind == "diffusion":
        from xdeepr.deepr_compat.checkpoints.diffusion import diffusion_model

        return diffusion_model(layout, base, given, name)
    from xdeepr.deepr_compat.checkpoints.regression import regression_model

    if base is not None:
        raise OptionError(
            f"base_model: {layout.file} is of a network that downscales by itself. Leave"
            " base_model out; it is for diffusion models."
        )
    return regression_model(layout, given, name)


def _locate(
    source: str | os.PathLike[str], *, only_local: bool, **options: Any
) -> tuple[Path, str | None]:
    """Return the folder of a checkpoint, and its id on the Hub if it comes from there."""
    folder = Path(source)
    if folder.is_dir():
        return folder, None
    from xdeepr.models.hub import fetch, is_repo_id

    if isinstance(source, str) and is_repo_id(source):
        return fetch(source, local_files_only=only_local, **options), source
    raise CheckpointError(
        f"{source!r} is neither a folder nor the id of a repository on the Hub ('owner/name')."
    )
