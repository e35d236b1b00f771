"""``.deepr`` on Dataset and DataArray: each method is one call of the function of that name.

The documentation of a method is that of the function, less the parameter that the object takes the
place of. The functions load dask or torch, and are not there yet when this module is imported. So
:class:`_Documented` puts it in place when a method is first got from its class, which is what
calls, ``help``, IPython's ``?``, ``inspect.getdoc`` and sphinx all do first; all of them then see
a plain function with a plain text. What stands under a method here becomes the first line. It is
all that an editor shows, which does not run the code.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from importlib import import_module
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xdeepr.models.downscaler import Downscaler
    from xdeepr.sampling.samplers import Sampler
    from xdeepr.tiling.interpolation import Method as Interpolation

XarrayObject = TypeVar("XarrayObject", xr.Dataset, xr.DataArray)
AnyXarray = xr.Dataset | xr.DataArray
Method = TypeVar("Method", bound=Callable[..., Any])


class _Documented:
    """A method with the documentation of a function that is imported when it is first looked at.

    Parameters
    ----------
    method : callable
        Its own docstring is the first line.
    path : str
        The function, as ``module:name``.
    """

    def __init__(self, method: Callable[..., Any], path: str) -> None:
        self.method, self.path, self.summary = method, path, method.__doc__

    def __get__(self, obj: Any, owner: type) -> Any:
        """Return the method, bound if there is an object."""
        if self.method.__doc__ == self.summary:
            module, name = self.path.split(":")
            doc = inspect.getdoc(getattr(import_module(module), name)) or ""
            _, _, rest = doc.partition("\n")
            self.method.__doc__ = f"{self.summary}\n{without_first(rest)}"
        return self.method if obj is None else MethodType(self.method, obj)


def documented_by(path: str) -> Callable[[Method], Method]:
    """Let a method take the documentation of a function, given as ``module:name``."""

    def document(method: Method) -> Method:
        return cast(Method, _Documented(method, path))

    return document


def without_first(doc: str) -> str:
    """Return a numpydoc text without its first parameter, which is the object of the accessor.

    Parameters
    ----------
    doc : str
        Its lines are not indented.

    Returns
    -------
    str
        Where the parameter is mentioned it says "this object". A section of parameters that has
        no others is left out.
    """
    before, heading, section = doc.partition("Parameters\n----------\n")
    entry, *lines = section.split("\n")
    # the lines below the name of a parameter are indented, or empty
    end = next(n for n, line in enumerate(lines) if line and not line[0].isspace())
    alone = lines[end + 1].startswith("---")
    left = before + (heading if not alone else "") + "\n".join(lines[end:])
    return left.replace(f"`{entry.split(' : ')[0]}`", "this object")


class _Accessor(Generic[XarrayObject]):
    """The methods that both kinds of objects have."""

    def __init__(self, obj: XarrayObject) -> None:
        self._obj: XarrayObject = obj

    @documented_by("xdeepr.downscaling:downscale")
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
        """Downscale this coarse field; nothing is computed before the result is asked for."""
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

    @documented_by("xdeepr.training:fit")
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
        """Train a model that downscales this coarse field to the labels."""
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

    @documented_by("xdeepr.verification:verify")
    def verify(
        self,
        reference: AnyXarray,
        *,
        baseline: Interpolation | AnyXarray | None = "bicubic",
        predictor: AnyXarray | None = None,
        extra: Mapping[str, AnyXarray] | None = None,
        dim: Hashable | Iterable[Hashable] | None = None,
        weights: Literal["area"] | xr.DataArray | None = "area",
        metrics: str | Iterable[str] | None = None,
        progress: bool = False,
    ) -> xr.Dataset:
        """Score this downscaled field against a reference, beside a baseline."""
        from xdeepr.verification import verify

        return verify(
            self._obj,
            reference,
            baseline=baseline,
            predictor=predictor,
            extra=extra,
            dim=dim,
            weights=weights,
            metrics=metrics,
            progress=progress,
        )

    @documented_by("xdeepr.grids.coarsening:coarsen")
    def coarsen(self, factor: int, *, boundary: Literal["exact", "trim"] = "exact") -> XarrayObject:
        """Average over blocks of cells, weighted by their areas."""
        from xdeepr.grids.coarsening import coarsen

        return coarsen(self._obj, factor, boundary=boundary)

    @documented_by("xdeepr.grids.regridding:nest")
    def nest(
        self,
        like: AnyXarray,
        *,
        factor: int | None = None,
        method: Literal["bilinear", "conservative"] = "bilinear",
    ) -> XarrayObject:
        """Bring this coarse field to a grid in which another grid nests."""
        from xdeepr.grids.regridding import nest

        return nest(self._obj, like, factor=factor, method=method)


@xr.register_dataset_accessor("deepr")
class DeeprDatasetAccessor(_Accessor[xr.Dataset]):
    """Downscaling of a Dataset; see the methods."""

    @documented_by("xdeepr.plotting:plot_scores")
    def plot(self) -> Figure:
        """Draw the scores in this dataset, as :meth:`verify` returned them."""
        from xdeepr.plotting import plot_scores

        return plot_scores(self._obj)

    @documented_by("xdeepr.verification:score_table")
    def score_table(self, *, baseline: str | None = None) -> str:
        """Return the scores in this dataset as a text table."""
        from xdeepr.verification import score_table

        return score_table(self._obj, baseline=baseline)


@xr.register_dataarray_accessor("deepr")
class DeeprDataArrayAccessor(_Accessor[xr.DataArray]):
    """Downscaling of a DataArray; see the methods."""
