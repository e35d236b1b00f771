"""Train the checkpoint that ships with xdeepr under the short name "ddpm".

The training data is the weather of :class:`xdeepr.synthetic.SyntheticClimate`, for which the best
possible scores are known: the table at the end stands beside them. Nothing is downloaded.

    python examples/train_shipped_checkpoint.py --max-time 45min --out xdeepr/checkpoints/ddpm
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr

from xdeepr.synthetic import SyntheticClimate

CHANNELS = (24, 32, 48)
"""Widths of the network's levels: in float32 its weights take 2.7 MB."""

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
        covariates=climate.statics(),
        validation=draw(climate, 128, VALIDATION),
        max_time=options.max_time,
        max_steps=options.max_steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        # Times are independent and plentiful: the network is too small to learn them by heart.
        network={
            "block_out_channels": options.channels,
            "layers_per_block": options.layers,
            "dropout": 0.0,
        },
        patience=10**6,
        seed=options.seed,
        keep=options.keep,
        name="ddpm",
    )
    folder = model.save(options.out, overwrite=True)
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"\n{model}\n\n{folder}: {size / 1e6:.2f} MB")
    if size > LARGEST:
        raise SystemExit(f"The checkpoint is larger than {LARGEST / 1e6:g} MB: fewer --channels.")
    report(climate, folder, options.test_times)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--max-time", default="45min", help="greatest duration (%(default)s)")
    parser.add_argument("--max-steps", type=int, help="greatest number of steps")
    parser.add_argument("--times", type=int, default=4000, help="training times (%(default)s)")
    parser.add_argument("--test-times", type=int, default=48, help="test times (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--channels", type=int, nargs="+", default=CHANNELS)
    parser.add_argument("--layers", type=int, default=2, help="residual blocks in each level")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the state, to resume from")
    parser.add_argument("--out", type=Path, default=Path("xdeepr/checkpoints/ddpm"))
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
    out = lr.deepr.downscale(folder, members=10, seed=1)
    exact = climate.draw(lr, 10, seed=1)
    scores = out.deepr.verify(hr, predictor=lr, extra={"optimum": exact}, progress=True)
    reached = float(scores["crps_fair"].sel(system="ddpm"))
    best = climate.expected_crps()
    print(f"\n{scores.deepr.score_table()}\n")
    print(f"fair CRPS {reached:.4f} K, lowest possible {best:.4f} K ({reached / best - 1:+.1%})")


if __name__ == "__main__":
    main()
