"""What a card may say: kinds, ranges and lengths, checked when it is read.

A card may come from anywhere. What is wrong in it is named here, and not met later as an error of
another library, or as a wrong result.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from xdeepr.grids import KINDS
from xdeepr.inputs.times import ENCODINGS
from xdeepr.models.card import CHANNELS, Card, Kind, Target
from xdeepr.normalization import links
from xdeepr.sampling.noise_levels import PREDICTIONS
from xdeepr.sampling.schedules import MOST_TIMESTEPS

CHOICES: dict[str, tuple[str, ...]] = {
    "kind": get_args(Kind),
    "target": get_args(Target),
    "grid_kind": tuple(KINDS),
}
"""Field of the card -> what it may be."""

FACTORS = (2, 8)
"""Least and greatest number of HR cells along the edge of an LR cell."""

MOST_CELLS = 2**14
"""Greatest height or width of anything, in cells."""

MOST_DEPTH = 6
"""Lists and mappings within each other in a network's configuration or a solver's options."""


def check_card(card: Card) -> None:
    """Refuse a card with a value that no model has: a ValueError names the field and its values."""
    _check_quantities(card)
    _check_geometry(card)
    _check_conditions(card)
    _check_normalization(card)
    _check_diffusion(card)
    _check_network(card)
    _check_record(card)


# --- parts of a card ------------------------------------------------------------------------------


def _check_quantities(card: Card) -> None:
    # any text: it is the user's, and is shown without its control characters
    _need(isinstance(card.name, str) and len(card.name) <= 1000, "name", card.name, "a text")
    for role in ("predictors", "predictands", "covariates", "varying"):
        for quantity in getattr(card, role):
            # names of variables in files: a slash would be a path in them
            plain = _is_name(quantity.name) and "/" not in quantity.name
            _need(plain and set(quantity.name) != {"."}, role, quantity.name, "names of variables")
            _need(_is_text(quantity.units), f"units of {role}", quantity.units, "a line of text")
            attrs = quantity.attrs
            known = isinstance(attrs, Mapping) and all(map(_is_name, attrs))
            fine = known and all(
                _is_plain(value, depth=1) and not isinstance(value, Mapping)
                for value in attrs.values()
            )
            _need(fine, f"attrs of {role}", attrs, "texts and numbers by name")
    for role in ("predictors", "predictands"):
        _need(getattr(card, role), role, (), "one quantity at least")
    fits = len(card.base) == len(card.predictands)
    fits &= all(n is None or _is_whole(n, 0, len(card.predictors) - 1) for n in card.base)
    _need(fits, "base", card.base, "the place of a predictor, or none, for each predictand")


def _check_geometry(card: Card) -> None:
    for key, choices in CHOICES.items():
        value = getattr(card, key)
        _need(isinstance(value, str) and value in choices, key, value, " or ".join(choices))
    _need(_is_whole(card.factor, *FACTORS), "factor", card.factor, "a whole number from 2 to 8")
    for key, count, least in (("margin", 4, 0), ("shift", 2, -MOST_CELLS), ("tile", 2, 1)):
        value = getattr(card, key)
        whole = all(_is_whole(n, least, MOST_CELLS) for n in value)
        _need(whole and len(value) == count, key, value, f"{count} whole numbers from {least}")
    steps = card.resolution
    positive = all(_is_number(n) and n > 0 for n in steps)
    _need(positive and len(steps) == 2, "resolution", steps, "two numbers greater than 0")
    _need(_is_whole(card.context, 0, 1024), "context", card.context, "a whole number from 0")
    _need(_is_whole(card.scale, 1, 256), "scale", card.scale, "a whole number from 1")


def _check_conditions(card: Card) -> None:
    channels, features, share = card.channels, card.time_features, card.covariate_dropout
    known = all(isinstance(c, str) and c in CHANNELS for c in channels)
    known = known and len(set(channels)) == len(channels)
    _need(known, "channels", channels, f"some of {', '.join(CHANNELS)}, each once")
    known = isinstance(features, Mapping) and all(
        isinstance(how, str) and how in ENCODINGS.get(name, ()) for name, how in features.items()
    )
    _need(known, "time_features", features, f"encodings of {', '.join(ENCODINGS)}")
    _need(_is_number(share) and 0 <= share < 1, "covariate_dropout", share, "a share from 0 to 1")


def _check_normalization(card: Card) -> None:
    outputs = len(card.predictands)
    wanted: dict[str, int | None] = {
        "predictors": len(card.predictors),
        "target": outputs,
        "covariates": len(card.covariates) + len(card.varying),
    }
    if "base" in card.channels:
        wanted["base"] = outputs
    if card.kind == "latent":
        wanted["latent"] = None  # the autoencoder knows
    found = {role: n.channels for role, n in card.normalization.items()}
    for role, count in wanted.items():
        fits = role in found and count in (None, found[role])
        said = f"{found[role]} channels" if role in found else "nothing"
        _need(fits, f"normalization of {role}", said, f"one for each of {count}")
    for role, transform in card.normalization.items():
        alone = len(links(transform)) == 1 and None not in card.base
        _need(alone or not transform.by_field, role, "normalized by field", "so by nothing else")
    unknown = set(found) - {*wanted, "base"}
    _need(not unknown, "normalization", sorted(unknown), f"for {', '.join(wanted)} only")


def _check_diffusion(card: Card) -> None:
    diffusion = card.diffusion
    for key in ("sigma_data", "log_std", "sigma_min", "sigma_max"):
        value = getattr(diffusion, key)
        _need(_is_number(value) and value > 0, f"diffusion.{key}", value, "a number above 0")
    _need(_is_number(diffusion.log_mean), "diffusion.log_mean", diffusion.log_mean, "a number")
    ordered = diffusion.sigma_min < diffusion.sigma_max
    _need(ordered, "diffusion.sigma_max", diffusion.sigma_max, "a number above sigma_min")
    known = isinstance(diffusion.prediction, str) and diffusion.prediction in PREDICTIONS
    _need(known, "diffusion.prediction", diffusion.prediction, " or ".join(PREDICTIONS))
    _need(_is_name(diffusion.sampler), "diffusion.sampler", diffusion.sampler, "a solver's name")
    steps = diffusion.steps
    _need(_is_whole(steps, 1, MOST_TIMESTEPS), "diffusion.steps", steps, "a whole number from 1")
    for key in ("sampler_options", "schedule"):
        value = getattr(diffusion, key)
        named = isinstance(value, Mapping) and all(map(_is_name, value))
        _need(named and _is_plain(value), f"diffusion.{key}", value, "plain values by name")
    count = diffusion.schedule.get("num_train_timesteps", 1000)
    few = count is None or _is_whole(count, 2, MOST_TIMESTEPS)
    _need(few, "diffusion.schedule", count, f"timesteps from 2 to {MOST_TIMESTEPS:,}")


def _check_network(card: Card) -> None:
    network = card.network
    keys = isinstance(network, Mapping) and set(network) == {"name", "config"}
    _need(keys, "network", network, "a name and a config")
    name, config = network["name"], network["config"]
    _need(_is_name(name), "network.name", name, "a network's name")
    named = isinstance(config, Mapping) and all(map(_is_name, config))
    _need(named and _is_plain(config), "network.config", config, "plain values by name")


def _check_record(card: Card) -> None:
    training, versions = card.training, card.versions
    _need(isinstance(training, Mapping), "training", training, "values by name")
    _need(isinstance(versions, Mapping), "versions", versions, "versions by name")
    ranges = training.get("predictor_range", [])
    pairs = isinstance(ranges, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair)) for pair in ranges
    )
    _need(pairs, "training.predictor_range", ranges, "a least and a greatest value for each")
    months = training.get("months", [])
    known = isinstance(months, list) and all(_is_whole(m, 1, 12) for m in months)
    _need(known, "training.months", months, "months from 1 to 12")
    if "period" in training:
        period = training["period"]
        dates = isinstance(period, list) and len(period) == 2 and all(map(_is_text, period))
        _need(dates, "training.period", period, "its first and its last date")
    _need(_is_text(training.get("domain", "")), "training.domain", training.get("domain"), "text")


# --- values ---------------------------------------------------------------------------------------


def _need(fine: Any, field: str, value: Any, wanted: str) -> None:
    """Raise unless it is fine."""
    if not fine:
        said = repr(value)
        said = said if len(said) <= 200 else f"{said[:200]}…"
        raise ValueError(f"{field} is {said}, where it must be {wanted}")


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_number(value: Any) -> bool:
    """Whether it is finite, as a float too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def _is_text(value: Any) -> bool:
    """Whether it is a line that can be printed: no control characters, no escapes."""
    if not isinstance(value, str) or len(value) > 1000:
        return False
    # other spaces than the plain one count as not printable, but do no harm
    return all(c.isprintable() or unicodedata.category(c) == "Zs" for c in value)


def _is_name(value: Any) -> bool:
    return _is_text(value) and bool(value.strip())


def _is_plain(value: Any, depth: int = MOST_DEPTH) -> bool:
    """Whether it is made of numbers and texts of sensible size."""
    if isinstance(value, Mapping):
        return depth > 0 and all(
            isinstance(key, str) and _is_plain(inner, depth - 1) for key, inner in value.items()
        )
    if isinstance(value, Sequence) and not isinstance(value, str):
        fits = depth > 0 and len(value) <= MOST_TIMESTEPS
        return fits and all(_is_plain(inner, depth - 1) for inner in value)
    if isinstance(value, str):
        return len(value) <= 10_000
    return value is None or isinstance(value, bool) or _is_number(value)
