"""The page of a model on the Hub, made from its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xdeepr.inputs.quantities import Quantity
from xdeepr.models.card import Card

_KINDS = {
    "diffusion": "A diffusion model: it draws realizations.",
    "latent": "A diffusion model in a latent space: it draws realizations.",
    "regression": "A deterministic model: it gives one field.",
    "autoencoder": "An autoencoder: it compresses HR fields and is a part of other models.",
}


def model_page(card: Card, repo_id: str, *, license: str = "unknown") -> str:
    """Return the text of a model's ``README.md``: Markdown that begins with YAML for the Hub."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=license,
        library_name="xdeepr",
        pipeline_tag="image-to-image",
        tags=["climate", "downscaling", "super-resolution", card.kind],
    )
    sections = [
        f"---\n{data.to_yaml()}\n---",
        f"# {_cell(card.name)}",
        f"{_KINDS[card.kind]} Made with xdeepr.",
        _table(_facts(card)),
        _usage(card, repo_id),
        *_scores(card),
        "The file `card.json` says all of this to the program; nothing in this repository is code.",
    ]
    return "\n\n".join(sections) + "\n"


def _facts(card: Card) -> list[tuple[str, str]]:
    """Return what the card says, for people."""
    training, (coarse, fine) = card.training, card.cell_sizes
    rows = [
        ("downscales", f"{_names(card.predictors)} at {coarse}"),
        ("to", f"{_names(card.predictands)} at {fine} (×{card.factor})"),
        ("covariates", _names((*card.covariates, *card.varying)) or "none"),
        ("time", ", ".join(f"{k} ({v})" for k, v in card.time_features.items()) or "none"),
        ("network", str(card.network["name"])),
    ]
    if card.stochastic:
        rows.append(("solver", f"{card.diffusion.sampler}, {card.diffusion.steps} steps"))
    if "period" in training:
        start, stop = training["period"]
        rows.append(("trained on", f"{start} to {stop}"))
    wanted = ("domain", "times", "data", "years")
    rows += [(key, str(training[key])) for key in wanted if key in training]
    return rows


def _names(quantities: Sequence[Quantity]) -> str:
    return ", ".join(
        f"{q.attrs.get('long_name', q.name)} `{q.name}` [{q.units}]" for q in quantities
    )


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = [f"| {left} | {_cell(right)} |" for left, right in rows]
    return "\n".join(["| | |", "|---|---|", *cells])


def _cell(text: str) -> str:
    """Return text that ends neither a line nor a table's cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _usage(card: Card, repo_id: str) -> str:
    """Return three lines of code."""
    members = ", members=10, seed=0" if card.stochastic else ""
    return (
        "```python\n"
        "import xarray as xr, xdeepr\n"
        'lr = xr.open_dataset("coarse.nc")\n'
        f'hr = lr.deepr.downscale(model="{repo_id}"{members})\n'
        "```"
    )


def _scores(card: Card) -> list[str]:
    """Return a table of scores, if the card has some."""
    scores: Any = card.training.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        return []
    return ["## Scores", _table([(str(name), f"{value}") for name, value in scores.items()])]
