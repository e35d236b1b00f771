"""DeepR's networks on the LR grid: ConvSwin2SR and ConvBaseline."""

from __future__ import annotations

import json
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from xdeepr import cf
from xdeepr.deepr_compat.checkpoints.cards import find_scale, make_card, single, unscaled
from xdeepr.deepr_compat.checkpoints.given import Given
from xdeepr.deepr_compat.checkpoints.layouts import Layout
from xdeepr.deepr_compat.checkpoints.places import Place, find_place
from xdeepr.deepr_compat.checkpoints.reading import load_weights
from xdeepr.deepr_compat.untrusted import AGAIN
from xdeepr.errors import CheckpointError, OptionError
from xdeepr.inputs.covariates import covariates_on, describe_covariates
from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card_checks import FACTORS, MOST_CELLS
from xdeepr.networks.bounded import MOST_WINDOW, bounded
from xdeepr.networks.registry import network_class
from xdeepr.normalization import Affine

if TYPE_CHECKING:
    from torch import nn

    from xdeepr.models.downscaler import Downscaler

NETWORKS = {
    "conv-swin2sr": "published-conv-swin2sr",
    "conv-baseline": "published-conv-baseline",
}
"""Layout -> network of the registry."""


def regression_model(layout: Layout, given: Given, name: str) -> Downscaler:
    """Return a deterministic model.

    Parameters
    ----------
    layout : Layout
        Its files.
    given : Given
        What the files do not say.
    name : str
        Name of the model.

    Returns
    -------
    Downscaler

    Raises
    ------
    CheckpointError, OptionError, GridError
        As :func:`xdeepr.deepr_compat.checkpoints.from_deepr`.
    """
    from xdeepr.models.downscaler import Downscaler

    config = _config(layout)
    factor, context = config["factor"], config["context"]
    if not FACTORS[0] <= factor <= FACTORS[1]:
        raise CheckpointError(
            f"{layout.file} is of a network for ×{factor}: xdeepr downscales by {FACTORS[0]} to"
            f" {FACTORS[1]}."
        )
    if given.factor not in (None, factor):
        raise OptionError(
            f"factor={given.factor}: {layout.file} is of a network for ×{factor}. Leave factor out."
        )
    _require(layout, given, config)
    predictors = given.quantities(config["in_channels"])
    lr_shape: tuple[int, int] = tuple(config["lr_shape"])
    height, width = ((n - 2 * context) * factor for n in lr_shape)
    place = find_place(
        (height, width),
        lr_grid=given.lr_grid,
        hr_grid=given.hr_grid,
        factor=factor,
        domain=given.facts.domain,
        lr_shape=lr_shape,
    )
    covariates, statics = _covariates(given, config["covariate_channels"], place)
    card = make_card(
        name,
        "regression",
        place=place,
        given=given,
        predictors=predictors,
        network={"name": NETWORKS[layout.kind], "config": config},
        normalization={
            **_normalization(layout, given, predictors, place),
            "covariates": unscaled(len(covariates)),
        },
        target="field",
        channels=("predictors", "covariates"),
        covariates=covariates,
        context=context,
    )
    network = _network(card.network["name"], config, layout)
    return Downscaler(card, network, covariate_arrays={"values": statics, **place.coordinates()})


def _config(layout: Layout) -> dict[str, Any]:
    """Return the keywords of the network, checked."""
    _check_sizes(layout)
    cls: Any = network_class(NETWORKS[layout.kind])
    try:
        keywords = cls.keywords_of_deepr(layout.config)
    except CheckpointError as error:
        raise CheckpointError(f"{layout.file.parent}: {error}") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise CheckpointError(
            f"{layout.file} has a value of the wrong kind ({error}): {AGAIN}."
        ) from None
    keywords.setdefault("covariate_channels", 0)
    plain: dict[str, Any] = json.loads(json.dumps(keywords))
    return plain


def _check_sizes(layout: Layout) -> None:
    """Refuse a configuration of more weights than the file can hold, before it is built."""
    for key, value in layout.config.items():
        for number in value if isinstance(value, list) else [value]:
            whole = isinstance(number, int) and not isinstance(number, bool)
            most = MOST_WINDOW if key == "window_size" else MOST_CELLS
            if whole and not -most <= number <= most:
                raise CheckpointError(
                    f"{layout.file}: {key} is {value!r}, larger than any network's: {AGAIN}."
                )
        if isinstance(value, list) and len(value) > 64:
            raise CheckpointError(
                f"{layout.file}: {key} has {len(value)} entries, more than any network's: {AGAIN}."
            )
    least = _fewest_weights(layout)
    found = layout.weights.stat().st_size
    if least > found:
        raise CheckpointError(
            f"{layout.weights} has {found:,} bytes, but {layout.file.name} is of a network of more"
            f" than {least:,} numbers: the file is cut short, or belongs to another config.json;"
            f" {AGAIN}."
        )


def _fewest_weights(layout: Layout) -> int:
    """Return a number of weights that the network has at least."""
    config = layout.config
    if layout.kind == "conv-baseline":
        widths = config.get("upblock_channels", [64, 32])
        return 9 * prod(widths) if _are_whole(widths) else 0
    width, depths = config.get("embed_dim", 180), config.get("depths", [6] * 6)
    if not isinstance(width, int) or not _are_whole(depths):
        return 0
    return 4 * width**2 * sum(depths)


def _are_whole(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(n, int) for n in values)


def _require(layout: Layout, given: Given, config: dict[str, Any]) -> None:
    """Ask for everything that is missing at once."""
    names = ["lr_grid", "predictors"]
    scaling = _scaling(layout, given)
    if scaling is None:
        names.append("normalization")
    if scaling == "scale" and given.scale is None and layout.scale is None:
        names.append("scale")
    if config["covariate_channels"]:
        names.append("covariates")
    given.require(*names)


def _scaling(layout: Layout, given: Given) -> str | None:
    """Return how the numbers were made; a scale in the folder says it too."""
    said: str | None = given.value("normalization")
    if said == "instance" and layout.kind != "diffusion":
        raise OptionError(
            f"normalization='instance': DeepR did not train a {layout.kind} in this way. Give"
            " 'scale' or 'none'."
        )
    there = layout.scale is not None or given.scale is not None
    return said or ("scale" if there else None)


def _normalization(
    layout: Layout, given: Given, predictors: tuple[Quantity, ...], place: Place
) -> dict[str, Affine]:
    """Return how predictors and target were normalized."""
    if _scaling(layout, given) == "none":
        count = len(predictors)
        return {"predictors": unscaled(count), "target": unscaled(count)}
    single(predictors, "a training_scale.json")
    scale = find_scale(given, layout, lr_shape=place.lr.shape, hr_shape=place.hr.shape)
    return {"predictors": scale.features, "target": scale.label}


def _covariates(given: Given, count: int, place: Place) -> tuple[tuple[Quantity, ...], np.ndarray]:
    """Return the static HR fields that the network was trained with."""
    if not count:
        if given.covariates is not None:
            raise OptionError(
                "covariates: the network was trained without any. Leave covariates out."
            )
        return (), np.zeros((0, *place.hr.shape), dtype=np.float32)
    assert given.covariates is not None  # `_require` has looked
    ds = cf.as_dataset(given.covariates)
    found, varying = describe_covariates(ds)
    if varying:
        raise OptionError(
            f"covariates: {varying[0].name!r} varies in time, but DeepR's are static. Give one"
            " field."
        )
    if len(found) != count:
        raise OptionError(
            f"covariates: {len(found)} given ({', '.join(q.name for q in found)}), but the network"
            f" has {count}: give these, in the order of the training."
        )
    # safetensors writes an array as it lies in memory, whatever its strides
    return found, np.ascontiguousarray(covariates_on(place.hr, ds, found))


def _network(name: str, config: dict[str, Any], layout: Layout) -> nn.Module:
    """Return the network with its weights."""
    size = layout.weights.stat().st_size
    try:
        # a number takes two bytes at least, and a tensor its name and place beside them
        with bounded(tensors=size // 32, numbers=size // 2):
            network = network_class(name)(**config)
    except ModuleNotFoundError:  # a library that is not installed is not the checkpoint's fault
        raise
    except Exception as error:  # libraries refuse configurations with errors of many kinds
        raise CheckpointError(
            f"{layout.file}: the network cannot be built from it ({error}): the file is"
            f" damaged; {AGAIN}."
        ) from None
    load_weights(network, layout.weights)
    return network
