"""``.deepr`` on Dataset and DataArray: each method is one call of the function of that name."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xdeepr.models.downscaler import Downscaler
    from xdeepr.sampling.samplers import Sampler

XarrayObject = TypeVar("XarrayObject", xr.Dataset, xr.DataArray)
AnyXarray = xr.Dataset | xr.DataArray


class _Accessor(Generic[XarrayObject]):
    """The methods that both kinds of objects have."""

    def __init__(self, obj: XarrayObject) -> None:
        self._obj: XarrayObject = obj

    def downscale(
        self,
        model: str | os.PathLike[str] | Downscaler,
        *,
        members: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampler: Sampler | str | Mapping[str, Any] | None = None,
        covariates: AnyXarray | None = None,
        factor: int | None = None,
        like: AnyXarray | None = None,
        tile: int | tuple[int, int] | None = None,
        overlap: int | None = None,
        batch_size: int | None = None,
        device: str | None = None,
        missing: Literal["error", "mask", "fill"] = "error",
    ) -> XarrayObject:
        """Downscale this coarse field; nothing is computed before the result is asked for.

        Parameters
        ----------
        model : str, path or Downscaler
            A trained model, the folder it was saved to, the short name of a model that ships
            with xdeepr ("ddpm"), or an interpolation: "nearest", "bilinear", "bicubic".
        members : int, optional
            Number of realizations; without it the result has no dimension ``realization``.
        seed : int, default: 0
            Seed of the noise. The field does not depend on chunks, batches or workers.
        steps : int, optional
            Steps of the solver. Default: the model's own, about 10.
        sampler : str, mapping or Sampler, optional
            Solver, for example "dpm++", "ddpm", ``{"name": "ddim", "eta": 0.5}`` or the name of
            a diffusers scheduler. Default: the model's own.
        covariates : xarray.Dataset or xarray.DataArray, optional
            Static fields the model was trained with; not needed on its training domain.
        factor : int, optional
            For interpolation: HR cells in an LR cell along each axis.
        like : xarray.Dataset or xarray.DataArray, optional
            For interpolation: an object on the HR grid.
        tile : int or (int, int), optional
            Height and width of the network's windows in HR pixels.
        overlap : int, optional
            HR pixels that neighbouring tiles share.
        batch_size : int, optional
            Tiles in one network call.
        device : str, optional
            Torch device. Default: a GPU where there is one.
        missing : {"error", "mask", "fill"}
            Refuse missing predictors; fill them and leave the result missing there; or fill
            them and keep it.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            Lazy, the same kind as this object, dimensions ([realization,] [time,] y, x) on the
            HR grid, with CF metadata.

        Raises
        ------
        XdeeprError
            A child of it that names the variable or option, the cause and the cure; see
            :func:`xdeepr.downscale`.

        Examples
        --------
        >>> out = ds.deepr.downscale("ddpm", members=10, seed=7)  # doctest: +SKIP
        >>> out.to_netcdf("t2m_hr.nc")  # doctest: +SKIP
        """
        from xdeepr.downscaling import downscale

        return downscale(
            self._obj,
            model,
            members=members,
            seed=seed,
            steps=steps,
            sampler=sampler,
            covariates=covariates,
            factor=factor,
            like=like,
            tile=tile,
            overlap=overlap,
            batch_size=batch_size,
            device=device,
            missing=missing,
        )

    def fit(
        self,
        labels: AnyXarray,
        *,
        model: str = "ddpm",
        covariates: AnyXarray | None = None,
        variables: Sequence[str] | None = None,
        time_features: Sequence[str] | Mapping[str, str] = ("hour", "day_of_year"),
        base: str | os.PathLike[str] | Downscaler | None = None,
        autoencoder: str | os.PathLike[str] | Downscaler | None = None,
        target: Literal["residual", "field"] | None = None,
        normalization: Literal[
            "domain-wise", "pixel-wise", "landmask-wise", "instance"
        ] = "domain-wise",
        by_month: bool = False,
        covariate_dropout: float = 0.0,
        loss: Literal["l2", "l1", "three-term"] | None = None,
        context: int | None = None,
        missing: Literal["error", "mask", "fill"] = "error",
        validation: float | tuple[AnyXarray, AnyXarray] | None = 0.15,
        epochs: int | None = None,
        max_steps: int | None = None,
        max_time: float | str | None = None,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        patience: int = 20,
        window: int | tuple[int, int] | None = None,
        network: Mapping[str, Any] | None = None,
        diffusion: Mapping[str, Any] | None = None,
        precision: Literal["auto", "float32", "bfloat16"] = "auto",
        seed: int = 0,
        device: str | None = None,
        keep: str | os.PathLike[str] | None = None,
        name: str | None = None,
        progress: bool = True,
    ) -> Downscaler:
        """Train a model that downscales this coarse field to the labels.

        Parameters
        ----------
        labels : xarray.Dataset or xarray.DataArray
            The truth on the HR grid, whose cells nest in the LR cells (factor 2 to 8).
        model : str, default: "ddpm"
            Kind of model: "ddpm", "unet", "unet2d-condition", "latent" (diffusion),
            "regression", "swin2sr", "conv-swin2sr", "conv-baseline" (one field), "autoencoder".
        covariates : xarray.Dataset or xarray.DataArray, optional
            Fields such as orography and land–sea mask, static or varying in time.
        variables : sequence of str, optional
            Labels to learn, if they hold more than one.
        time_features : sequence or mapping
            What the model is told of the time, and how.
        base : Downscaler, path or str, optional
            A deterministic model whose output takes the place of the interpolation.
        autoencoder : Downscaler, path or str, optional
            For "latent": what ``model="autoencoder"`` gave.
        target : {"residual", "field"}, optional
            Learn what HR adds to the base (the default), or HR itself.
        normalization : {"domain-wise", "pixel-wise", "landmask-wise", "instance"}
            Which cells share a mean and a deviation.
        by_month : bool, default: False
            Fit the normalization to each month of the year by itself.
        covariate_dropout : float, default: 0
            Share of the training windows without covariates.
        loss : {"l2", "l1", "three-term"}, optional
            Of deterministic models.
        context : int, optional
            LR cells around a window that networks on the LR grid see.
        missing : {"error", "mask", "fill"}
            Refuse missing values, or learn from the cells that are known.
        validation : float or (predictors, labels), default: 0.15
            Part of the period, taken from its end, or another pair of datasets.
        epochs, max_steps : int, optional
            Greatest length of the training.
        max_time : float or str, optional
            Greatest duration in seconds, or as text: "15min".
        batch_size : int, default: 32
            Windows in a batch.
        learning_rate : float, default: 2e-3
            Peak learning rate.
        patience : int, default: 20
            Evaluations without improvement after which the training stops.
        window : int or (int, int), optional
            Height and width of training windows in HR pixels.
        network, diffusion : mapping, optional
            Changes to the network and to the noise levels.
        precision : {"auto", "float32", "bfloat16"}
            Arithmetic of the network in training.
        seed : int, default: 0
            Seed of weights, batches, noise and dropout.
        device : str, optional
            Torch device. Default: a GPU where there is one.
        keep : path-like, optional
            Folder for the state of the training, from which it is taken up again.
        name : str, optional
            Name of the model.
        progress : bool, default: True
            Show a progress bar.

        Returns
        -------
        Downscaler
            To be used with ``downscale(model=...)`` and saved with ``.save(folder)``.

        Raises
        ------
        XdeeprError
            A child of it that names the variable or option, the cause and the cure; see
            :func:`xdeepr.fit`.

        Examples
        --------
        >>> model = lr.deepr.fit(hr, covariates=statics, max_time="15min")  # doctest: +SKIP
        """
        from xdeepr.training import fit

        return fit(
            self._obj,
            labels,
            model=model,
            covariates=covariates,
            variables=variables,
            time_features=time_features,
            base=base,
            autoencoder=autoencoder,
            target=target,
            normalization=normalization,
            by_month=by_month,
            covariate_dropout=covariate_dropout,
            loss=loss,
            context=context,
            missing=missing,
            validation=validation,
            epochs=epochs,
            max_steps=max_steps,
            max_time=max_time,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            window=window,
            network=network,
            diffusion=diffusion,
            precision=precision,
            seed=seed,
            device=device,
            keep=keep,
            name=name,
            progress=progress,
        )

    def verify(
        self,
        reference: AnyXarray,
        *,
        baseline: Literal["nearest", "bilinear", "bicubic"] | AnyXarray | None = "bicubic",
        predictor: AnyXarray | None = None,
        extra: Mapping[str, AnyXarray] | None = None,
        dim: Hashable | Iterable[Hashable] | None = None,
        weights: Literal["area"] | xr.DataArray | None = "area",
        progress: bool = False,
    ) -> xr.Dataset:
        """Score this downscaled field against a reference, beside a baseline.

        Parameters
        ----------
        reference : xarray.Dataset or xarray.DataArray
            Verifying truth on the same grid, in convertible units.
        baseline : str, xarray.Dataset, xarray.DataArray or None, default: "bicubic"
            The field to beat: an interpolation by name, or a field.
        predictor : xarray.Dataset or xarray.DataArray, optional
            The LR field that a named baseline interpolates. Default: the coarsened reference.
        extra : mapping, optional
            Further systems to score, by name.
        dim : str or sequence of str, optional
            Dimensions to average over. Default: time and space.
        weights : "area", xarray.DataArray or None, default: "area"
            Weights of the average in space.
        progress : bool, default: False
            Show a progress bar.

        Returns
        -------
        xarray.Dataset
            Computed scores along the dimension ``system``.

        Raises
        ------
        XdeeprError
            A child of it that names the variable or option, the cause and the cure; see
            :func:`xdeepr.verify`.

        Examples
        --------
        >>> scores = out.deepr.verify(hr, predictor=lr)  # doctest: +SKIP
        >>> scores.deepr.plot()  # doctest: +SKIP
        """
        from xdeepr.verification import verify

        return verify(
            self._obj,
            reference,
            baseline=baseline,
            predictor=predictor,
            extra=extra,
            dim=dim,
            weights=weights,
            progress=progress,
        )

    def coarsen(self, factor: int, *, boundary: Literal["exact", "trim"] = "exact") -> XarrayObject:
        """Average over blocks of cells, weighted by their areas.

        Parameters
        ----------
        factor : int
            HR cells in an LR cell along each axis, at least 2.
        boundary : {"exact", "trim"}
            What to do where the size is not a multiple of the factor: refuse, or drop the
            last cells.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            Lazy, the same kind as this object, with the coordinates and bounds of the LR grid.

        Raises
        ------
        GridError
            If the size is not a multiple of the factor and ``boundary="exact"``.

        Examples
        --------
        >>> lr = hr.deepr.coarsen(4)  # doctest: +SKIP
        """
        from xdeepr.grids.coarsening import coarsen

        return coarsen(self._obj, factor, boundary=boundary)

    def nest(
        self,
        like: AnyXarray,
        *,
        factor: int | None = None,
        method: Literal["bilinear", "conservative"] = "bilinear",
    ) -> XarrayObject:
        """Bring this coarse field to a grid in which another grid nests.

        Parameters
        ----------
        like : xarray.Dataset or xarray.DataArray
            Anything on the fine grid, such as labels on a projection.
        factor : int, optional
            HR cells in an LR cell along each axis. Default: from the resolutions.
        method : {"bilinear", "conservative"}
            Interpolate, or average over areas so that totals are kept.

        Returns
        -------
        xarray.Dataset or xarray.DataArray
            The same kind as this object, lazy where it is lazy.

        Raises
        ------
        GridError
            If this field does not cover the fine grid, or its grid is curvilinear.
        OptionError
            If the factor is out of range, or the method is unknown or not installed.

        Examples
        --------
        >>> lr = era5.deepr.nest(cerra)  # doctest: +SKIP
        """
        from xdeepr.grids.regridding import nest

        return nest(self._obj, like, factor=factor, method=method)


@xr.register_dataset_accessor("deepr")
class DeeprDatasetAccessor(_Accessor[xr.Dataset]):
    """Downscaling of a Dataset; see the methods."""

    def plot(self) -> Figure:
        """Draw the scores in this dataset, as :meth:`verify` returned them.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        OptionError
            If the dataset holds no scores.
        """
        from xdeepr.plotting import plot_scores

        return plot_scores(self._obj)

    def score_table(self) -> str:
        """Return the scores in this dataset as a text table.

        Returns
        -------
        str
        """
        from xdeepr.verification import score_table

        return score_table(self._obj)


@xr.register_dataarray_accessor("deepr")
class DeeprDataArrayAccessor(_Accessor[xr.DataArray]):
    """Downscaling of a DataArray; see the methods."""
