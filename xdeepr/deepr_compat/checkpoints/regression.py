"""DeepR's networks on the LR grid: ConvSwin2SR and ConvBaseline."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from xdeepr.deepr_compat.checkpoints import cards
from xdeepr.deepr_compat.checkpoints.description import Description
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.weights import build
from xdeepr.deepr_compat.untrusted import AGAIN
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.grids import gridded
from xdeepr.inputs.covariates import covariates_on, describe_covariates
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card_checks import FACTORS
from xdeepr.networks.bounded import TooLargeError, check_sizes
from xdeepr.networks.registry import network_class

if TYPE_CHECKING:
    from xdeepr.models.downscaler import Downscaler


def regression_model(layout: Layout, given: Description, name: str) -> Downscaler:
    """Return a deterministic model."""
    from xdeepr.models.downscaler import Downscaler

    registered = f"published-{layout.kind}"
    network: Any = network_class(registered)
    config = _config(network, layout)
    factor = _factor(config["factor"], layout, given)
    scaling = _scaling(layout, given)
    _require(layout, given, scaling, bool(config["covariate_channels"]))
    predictors = given.quantities(config["in_channels"])
    lr_shape: tuple[int, int] = tuple(config["lr_shape"])
    height, width = ((n - 2 * config["context"]) * factor for n in lr_shape)
    grids = cards.training_grids(given, (height, width), factor=factor, lr_shape=lr_shape)
    covariates, statics = _covariates(given, config["covariate_channels"], grids)
    normalization = {role: cards.unscaled(len(predictors)) for role in ("predictors", "target")}
    if scaling == "scale":
        scale = cards.find_scale(given, layout, predictors, grids)
        normalization = {"predictors": scale.features, "target": scale.label}
    card = cards.make_card(
        name,
        "regression",
        grids=grids,
        given=given,
        predictors=predictors,
        network={"name": registered, "config": config},
        normalization={**normalization, "covariates": cards.unscaled(len(covariates))},
        target="field",
        channels=("predictors", "covariates"),
        covariates=covariates,
        context=config["context"],
    )
    arrays = {"values": statics, **grids.coordinates()}
    return Downscaler(card, build(lambda: network(**config), layout), covariate_arrays=arrays)


def _config(network: Any, layout: Layout) -> dict[str, Any]:
    """Return the keywords of the network, checked, as they stand in JSON."""
    try:
        check_sizes(layout.config)
        keywords = network.keywords_of_deepr(layout.config)
    except CheckpointError as error:
        raise CheckpointError(f"{layout.file.parent}: {error}") from None
    except TooLargeError as error:
        raise CheckpointError(f"{layout.file}: {error}, above any network's: {AGAIN}.") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(
            f"{layout.file} has a value of the wrong kind ({error}): {AGAIN}."
        ) from None
    plain: dict[str, Any] = json.loads(json.dumps({"covariate_channels": 0, **keywords}))
    return plain


def _factor(factor: int, layout: Layout, given: Description) -> int:
    """Return the factor of the network, if xdeepr and the user agree with it."""
    if not FACTORS[0] <= factor <= FACTORS[1]:
        raise CheckpointError(
            f"{layout.file} is of a network for ×{factor}: xdeepr downscales by {FACTORS[0]} to"
            f" {FACTORS[1]}."
        )
    if given.factor not in (None, factor):
        raise OptionError(
            f"factor={given.factor}: {layout.file} is of a network for ×{factor}. Leave factor out."
        )
    return factor


def _scaling(layout: Layout, given: Description) -> str | None:
    """Return how the numbers were made; a scale in the folder says it too."""
    scaling: str | None = given.value("normalization")
    if scaling == "instance":
        raise OptionError(
            f"normalization='instance': DeepR did not train a {layout.kind} in this way. Give"
            " 'scale' or 'none'."
        )
    there = layout.scale is not None or given.scale is not None
    return scaling or ("scale" if there else None)


def _require(
    layout: Layout, given: Description, scaling: str | None, with_covariates: bool
) -> None:
    """Ask for everything that is missing at once."""
    names = ["lr_grid", "predictors"]
    if scaling is None:
        names.append("normalization")
    if scaling == "scale" and layout.scale is None:
        names.append("scale")
    if with_covariates:
        names.append("covariates")
    given.require(*names)


def _covariates(
    given: Description, count: int, grids: cards.TrainingGrids
) -> tuple[tuple[Quantity, ...], np.ndarray]:
    """Return the static HR fields that the network was trained with, shape (count, y, x)."""
    if not count:
        if given.covariates is not None:
            raise OptionError(
                "covariates: the network was trained without any. Leave covariates out."
            )
        return (), np.zeros((0, *grids.hr.shape), dtype=np.float32)
    assert given.covariates is not None  # `_require` has looked
    ds = gridded(given.covariates)
    static, varying = describe_covariates(ds)
    if varying:
        raise OptionError(
            f"covariates: {varying[0].name!r} varies in time, but DeepR's are static. Give one"
            " field."
        )
    if len(static) != count:
        raise OptionError(
            f"covariates: {len(static)} given ({', '.join(q.name for q in static)}), but the"
            f" network has {count}: give these, in the order of the training."
        )
    # safetensors writes an array as it lies in memory, whatever its strides
    return static, np.ascontiguousarray(covariates_on(grids.hr, ds, static))
