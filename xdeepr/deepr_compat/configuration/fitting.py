"""Call `fit` as a plan says, and the stages before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xdeepr.deepr_compat.configuration.agreement import check_agreement, shapes_of
from xdeepr.deepr_compat.configuration.assembling import Data
from xdeepr.deepr_compat.configuration.models import check_network, load_model
from xdeepr.deepr_compat.configuration.planning import Stage, Trained, TrainingPlan
from xdeepr.deepr_compat.configuration.sampling import available_device
from xdeepr.deepr_compat.configuration.training import PARAMETERS
from xdeepr.errors import OptionError

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler


def train(plan: TrainingPlan, data: Data, notes: list[str], *, progress: bool) -> Downscaler:
    """Train the model of a plan.

    Parameters
    ----------
    plan : TrainingPlan
        What to train.
    data : Data
        Of what.
    notes : list of str
        Gets a line if the device is not there.
    progress : bool
        Show progress bars.

    Returns
    -------
    Downscaler

    Raises
    ------
    OptionError
        If the configuration contradicts the data.
    XdeeprError
        See :func:`xdeepr.fit`.
    """
    device = available_device(plan.stage.options.get("device"), PARAMETERS, notes)
    parts: dict[str, Any] = {}
    if plan.base is not None:
        parts["base"] = _loaded(plan.base, progress)
    if isinstance(plan.autoencoder, Stage):
        parts["autoencoder"] = _fit(plan.autoencoder, data, device, {}, progress)
    elif plan.autoencoder is not None:
        parts["autoencoder"] = _loaded(plan.autoencoder, progress)
    if "autoencoder" in parts and plan.target not in (None, parts["autoencoder"].card.target):
        raise OptionError(
            f"{PARAMETERS}.learn_residuals asks for the {plan.target}, but the autoencoder was"
            f" trained on the {parts['autoencoder'].card.target}: leave learn_residuals out."
        )
    return _fit(plan.stage, data, device, parts, progress)


def _loaded(trained: Trained, progress: bool) -> Downscaler:
    """Load a model that another one builds on."""
    model = load_model(trained.location, progress=progress)
    if isinstance(model, str):
        raise OptionError(
            f"{trained.path}: {model!r} is an interpolation; a trained model is needed there."
        )
    check_network(model, trained.network, trained.path)
    return model


def _fit(
    stage: Stage, data: Data, device: str | None, parts: dict[str, Any], progress: bool
) -> Downscaler:
    """Train the model of one stage."""
    from xdeepr.training import fit

    part = data.training
    assert part.hr is not None  # a plan has labels
    latent = parts.get("autoencoder")
    channels = None if latent is None else int(latent.network.latent_channels)
    check_agreement(stage, shapes_of(part.lr, part.hr, stage), channels)
    options = dict(stage.options)
    if device is not None:
        options["device"] = device
    if "all" not in data.parts:  # otherwise fit holds some times out by itself
        held_out = data.parts.get("validation")
        options["validation"] = None if held_out is None else (held_out.lr, held_out.hr)
    covariates = data.statics if stage.statics else None
    return fit(part.lr, part.hr, covariates=covariates, progress=progress, **parts, **options)
