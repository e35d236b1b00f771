"""Train the checkpoints that ship with xdeepr under the short names "ddpm" and "swin2sr".

The training data is the weather of :class:`xdeepr.synthetic.SyntheticClimate`, for which the best
possible scores are known: the table at the end stands beside them. Nothing is downloaded.

    python examples/train_shipped_checkpoint.py --max-time 45min
    python examples/train_shipped_checkpoint.py --model swin2sr --max-time 15min
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

import xdeepr
from xdeepr.synthetic import SyntheticClimate

CHECKPOINTS = Path("xdeepr/models/shipped")

# Times are independent and plentiful: the networks are too small to learn them by heart.
NETWORKS = {
    "ddpm": {"block_out_channels": (24, 32, 48), "layers_per_block": 2, "dropout": 0.0},
    "swin2sr": {},
}
"""Sizes whose weights take less than 3 MB in float32."""

OBJECTIVES = {"ddpm": {}, "swin2sr": {"loss": "l2"}}
"""The mean is what the squared error finds, and what the optimum is known for."""

LARGEST = 3_000_000
"""Most bytes of the checkpoint: it travels with every installation."""

# Each part has weather of its own. The demo uses years and seeds that occur in none of them.
TRAINING = {"years": (1981, 2011), "seed": 1001}
VALIDATION = {"years": (2011, 2016), "seed": 1002}
TEST = {"years": (2016, 2021), "seed": 1003}


def main() -> None:
    options = parse_arguments()
    climate = SyntheticClimate()
    print(f"drawing {options.times} training times", flush=True)
    lr, hr = draw(climate, options.times, TRAINING)
    model = lr.deepr.fit(
        hr,
        model=options.model,
        covariates=climate.statics(),
        validation=draw(climate, 128, VALIDATION),
        max_time=options.max_time,
        max_steps=options.max_steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        network=NETWORKS[options.model],
        **OBJECTIVES[options.model],
        patience=10**6,
        seed=options.seed,
        keep=options.keep,
        name=options.model,
    )
    folder = model.save(options.out or CHECKPOINTS / options.model, overwrite=True)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"\n{model}\n\n{folder}: {size / 1e6:.2f} MB")
    if size > LARGEST:
        raise SystemExit(f"The checkpoint is larger than {LARGEST / 1e6:g} MB: a smaller network.")
    report(climate, folder, options.test_times)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(NETWORKS), default="ddpm")
    parser.add_argument("--max-time", default="45min", help="greatest duration (%(default)s)")
    parser.add_argument("--max-steps", type=int, help="greatest number of steps")
    parser.add_argument("--times", type=int, default=4000, help="training times (%(default)s)")
    parser.add_argument("--test-times", type=int, default=48, help="test times (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the state, to resume from")
    parser.add_argument("--out", type=Path, help="folder (that of the package)")
    return parser.parse_args()


def draw(climate: SyntheticClimate, count: int, part: dict) -> tuple[xr.Dataset, xr.Dataset]:
    """Sample LR and HR at hours spread at random over the years of a part."""
    first, last = (np.datetime64(str(year), "h") for year in part["years"])
    rng = np.random.default_rng(part["seed"])
    hours = rng.choice((last - first).astype(int), size=count, replace=False)
    return climate.sample(first + np.sort(hours), seed=part["seed"])


def report(climate: SyntheticClimate, folder: Path, times: int) -> None:
    """Print the scores on times that training never saw, beside the exact optimum."""
    lr, hr = draw(climate, times, TEST)
    stochastic = xdeepr.load(folder).card.stochastic
    out = lr.deepr.downscale(folder, **({"members": 10, "seed": 1} if stochastic else {}))
    exact = climate.draw(lr, 10, seed=1)
    scores = out.deepr.verify(hr, predictor=lr, extra={"optimum": exact}, progress=True)
    print(f"\n{scores.deepr.score_table()}\n")
    if not stochastic:
        return
    reached = float(scores["crps_fair"].isel(system=0))
    best = climate.expected_crps()
    print(f"fair CRPS {reached:.4f} K, lowest possible {best:.4f} K ({reached / best - 1:+.1%})")


if __name__ == "__main__":
    main()
