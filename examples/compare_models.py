"""Train every kind of model on the same data and compare them on the test part of the period.

A perfect-model experiment over Italy, as in era5_italy.py: 2 m temperature, May and June 2022.

    python examples/compare_models.py --max-time 3min
    python examples/compare_models.py --factor 5 --only conv-swin2sr conv-baseline

The budget is for each model. What a model builds on (the regression below a residual diffusion,
the autoencoder of a latent one) is trained first, with a budget of its own.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from era5_italy import Case, italy

import xdeepr


@dataclass(frozen=True)
class Candidate:
    """Options of ``fit``, and the earlier candidate that it builds on."""

    options: Mapping[str, Any]
    part: tuple[str, str] | None = None


SMALL = {"block_out_channels": (32, 64, 96)}

CANDIDATES: dict[str, Candidate] = {
    "ddpm": Candidate({"model": "ddpm"}),
    "unet": Candidate(
        {"model": "unet", "network": {**SMALL, "is_attention": (False, False, True)}}
    ),
    "unet2d-condition": Candidate({"model": "unet2d-condition"}),
    "regression": Candidate({"model": "regression"}),
    "ddpm on regression": Candidate({"model": "ddpm"}, ("base", "regression")),
    "swin2sr": Candidate({"model": "swin2sr"}),
    "conv-swin2sr": Candidate({"model": "conv-swin2sr"}),
    "conv-baseline": Candidate({"model": "conv-baseline"}),
    "autoencoder": Candidate({"model": "autoencoder"}),
    "latent": Candidate({"model": "latent"}, ("autoencoder", "autoencoder")),
}


def main() -> None:
    options = parse_arguments()
    if options.data_dir:
        os.environ["XDEEPR_DATA_DIR"] = str(options.data_dir)
    case = italy()
    hr = case.hr.deepr.coarsen(options.factor, boundary="trim")  # only for its sizes
    sizes = {dim: options.factor * hr.sizes[dim] for dim in ("latitude", "longitude")}
    case = Case(
        case.hr.isel({dim: slice(0, n) for dim, n in sizes.items()}),
        case.statics, case.training, case.validation, case.test,
    )  # fmt: skip
    for name in options.only or CANDIDATES:
        run(name, case, options)


def run(name: str, case: Case, options: argparse.Namespace) -> None:
    """Train one candidate, unless it is there already, and print its scores."""
    folder = options.out / f"{name.replace(' ', '-')}-x{options.factor}"
    lr = case.hr.deepr.coarsen(options.factor)
    candidate = CANDIDATES[name]
    if not folder.is_dir():
        train(folder, candidate, lr, case, options)
    model = xdeepr.load(folder)
    if model.card.kind == "autoencoder":
        print(f"{name}: validation loss {model.card.training['validation_loss']:.4f}", flush=True)
        return
    new_lr, new_hr = (
        ds.sel(time=case.test).isel(time=slice(None, None, options.every)) for ds in (lr, case.hr)
    )
    members = {"members": options.members} if model.card.stochastic else {}
    out = new_lr.deepr.downscale(folder, **members).compute()
    scores = out.deepr.verify(new_hr, predictor=new_lr, weights=None)
    scores.to_netcdf(options.out / f"{folder.name}-scores.nc")
    print(table_row(name, model, scores), flush=True)


def train(
    folder: Path, candidate: Candidate, lr: xr.Dataset, case: Case, options: argparse.Namespace
) -> None:
    part = {}
    if candidate.part is not None:
        role, other = candidate.part
        part[role] = options.out / f"{other.replace(' ', '-')}-x{options.factor}"
    model = lr.sel(time=case.training).deepr.fit(
        case.hr.sel(time=case.training),
        covariates=case.statics,
        validation=(lr.sel(time=case.validation), case.hr.sel(time=case.validation)),
        max_time=options.max_time,
        max_steps=options.max_steps,
        patience=1000,
        name=folder.name,
        progress=options.progress,
        **candidate.options,
        **part,
    )
    model.save(folder)


def table_row(name: str, model: xdeepr.Downscaler, scores: xr.Dataset) -> str:
    """Return a row of a Markdown table; the CRPS of a single field is its absolute error."""
    ours, baseline = (scores.isel(system=i) for i in (0, -1))
    gain = 100 * (1 - float(ours.rmse) / float(baseline.rmse))
    parameters = sum(p.numel() for p in model.network.parameters())
    cells = [
        name,
        model.card.kind,
        f"{parameters / 1e6:.2f}",
        f"{model.card.training['steps']}",
        f"{float(ours.rmse):.3f}",
        f"{gain:+.0f} %",
        f"{float(ours.crps_fair if model.card.stochastic else ours.mae):.3f}",
        f"{float(ours.spread_skill_ratio):.2f}" if model.card.stochastic else "–",
    ]
    return f"| {' | '.join(cells)} |  (bicubic: {float(baseline.rmse):.3f})"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=list(CANDIDATES), help="some of the models")
    parser.add_argument("--max-time", default="3min", help="of each training (%(default)s)")
    parser.add_argument("--max-steps", type=int, help="of each training")
    parser.add_argument("--members", type=int, default=10, help="realizations (%(default)s)")
    parser.add_argument("--every", type=int, default=1, help="test only each n-th field")
    parser.add_argument("--progress", action="store_true")
    parser.add_argument("--data-dir", type=Path, help="folder of the example data")
    parser.add_argument("--out", type=Path, default=Path("example-output"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


if __name__ == "__main__":
    main()
