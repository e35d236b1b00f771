"""The demo: what xdeepr does, on synthetic weather and on real data, without a network."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pooch
import xarray as xr

from xdeepr.datasets import DATA_DIR_VARIABLE, open_era5_italy, open_era5_static
from xdeepr.downscaling import downscale
from xdeepr.grids.coarsening import coarsen
from xdeepr.io import progress_bar, whole, write_file
from xdeepr.models.downscaler import Downscaler
from xdeepr.plotting import plot_downscaling, plot_training
from xdeepr.synthetic import SyntheticClimate
from xdeepr.training import fit as train
from xdeepr.verification import score_table, verify

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Model = str | os.PathLike[str] | Downscaler

FIRST_TIME = "2021-07-01T00"
"""Start of the synthetic days, after the years that the shipped checkpoint was trained on."""

ITALY_FILES = ("era5/era5_t2m_italy_3h_20220501_20220630.nc", "era5/ERA5_const_sfc_variables.nc")

PAST = slice(None, "2022-06-06")
WATCHED = slice("2022-06-08", "2022-06-17")
NEW = slice("2022-06-19", None)
"""Parts for training, validation and test, days apart: neighbouring hours are almost the same."""

SMALL_NETWORK = {"block_out_channels": (24, 32, 48)}
"""Less accurate than the default network after a quarter of an hour, better after a minute."""


def run_demo(
    folder: str | os.PathLike[str] = "demo-output",
    *,
    fit: bool = True,
    seed: int = 0,
    model: str | os.PathLike[str] = "ddpm",
    members: int = 10,
    times: int = 12,
    max_time: float | str = "90s",
) -> dict[str, xr.Dataset]:
    """Downscale synthetic weather with a shipped model, and real data with one trained here.

    Nothing is downloaded. The folder then holds ``synthetic.nc`` (CF), ``synthetic.png`` and
    ``scores.txt`` and, where the real data are found, ``era5-italy.nc``, ``era5-italy.png`` and
    ``era5-italy-training.png``.

    Parameters
    ----------
    folder : path-like, default: "demo-output"
        Made if it is missing; files of an earlier demo are replaced.
    fit : bool, default: True
        Whether to train on ERA5 over Italy, if its files are in ``$XDEEPR_DATA_DIR``, in
        ``../shared/data`` beside the repository, or in the cache of :mod:`xdeepr.datasets`.
    seed : int, default: 0
        Seed of the synthetic weather, of the noise and of the training.
    model : str or path-like, default: "ddpm"
        Checkpoint trained on the synthetic climate.
    members : int, default: 10
        Realizations, at least 2.
    times : int, default: 12
        Synthetic times, six hours apart.
    max_time : float or str, default: "90s"
        Greatest duration of the training.

    Returns
    -------
    dict of str to xarray.Dataset
        Scores by part: "synthetic" and, if it ran, "era5-italy".
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    report = _Report(folder)
    report.say(f"xdeepr demo: the results go to {folder}/")
    report.say("\n1. Synthetic weather over an island, for which the best possible is known")
    scores = {"synthetic": _synthetic(report, model, members, times, seed)}
    if fit:
        report.say("\n2. ERA5 temperature over Italy, with a model trained here and now")
        italy = _open_italy()
        if italy is None:
            report.say(
                "   left out: the data are not on this machine. To fetch them once (6 MB):"
                ' python -c "from xdeepr import datasets as d; d.open_era5_italy();'
                ' d.open_era5_static()"'
            )
        else:
            scores["era5-italy"] = _italy(report, *italy, members, max_time, seed)
    report.write_scores(scores)
    report.say(f"\nDone in {time.monotonic() - started:.0f} s. Open {folder}/synthetic.png first.")
    return scores


def _synthetic(report: _Report, model: Model, members: int, times: int, seed: int) -> xr.Dataset:
    """Downscale weather that the model has not seen, and compare with the exact answer."""
    climate = SyntheticClimate()
    hours = np.datetime64(FIRST_TIME, "h") + 6 * np.arange(times)
    lr, hr = climate.sample(hours, seed=seed)
    out = report.downscale(lr, model, members, seed)
    # The members of a perfect model: no downscaling of this input can do better.
    optimum = climate.draw(lr, members, seed=seed)
    scores = verify(out, hr, predictor=lr, extra={"optimum": optimum})
    report.show_scores(scores)
    reached = float(scores["crps_fair"].isel(system=0))
    lowest = climate.expected_crps()
    report.say(
        f"   fair CRPS {reached:.4f} K; the lowest that any method can reach in the long run is"
        f" {lowest:.4f} K"
    )
    report.write("synthetic", out)
    report.picture("synthetic", lr, out, hr, climate.statics())
    return scores


def _italy(
    report: _Report,
    hr: xr.Dataset,
    statics: xr.Dataset,
    members: int,
    max_time: float | str,
    seed: int,
) -> xr.Dataset:
    """Train on May, downscale the end of June."""
    lr = coarsen(hr, 4)
    report.say(f"   training on {hr.sel(time=PAST).sizes['time']} times, for at most {max_time}")
    model = train(
        lr.sel(time=PAST),
        hr.sel(time=PAST),
        covariates=statics,
        validation=(lr.sel(time=WATCHED), hr.sel(time=WATCHED)),
        max_time=max_time,
        network=SMALL_NETWORK,
        seed=seed,
        name="era5-italy",
        progress=sys.stderr.isatty(),
    )
    # Every seventh of the 3-hourly times: all hours of the day, in a fraction of the time.
    every_hour = slice(None, None, 7)
    new_lr, new_hr = (ds.sel(time=NEW).isel(time=every_hour) for ds in (lr, hr))
    out = report.downscale(new_lr, model, members, seed)
    scores = verify(out, new_hr, predictor=new_lr)
    report.show_scores(scores)
    report.write("era5-italy", out)
    report.picture("era5-italy", new_lr, out, new_hr, statics)
    report.draw("era5-italy-training", plot_training, pd.DataFrame(model.curve))
    return scores


class _Report:
    """Says what happens, and writes the files of the demo."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def say(self, text: str) -> None:
        """Print a line, at once even if the output goes to a file."""
        print(text, flush=True)

    def downscale(self, lr: xr.Dataset, model: Model, members: int, seed: int) -> xr.Dataset:
        """Downscale and compute, and say how long it took."""
        out = downscale(lr, model, members=members, seed=seed)
        cells = " × ".join(str(lr.sizes[dim]) for dim in ("latitude", "longitude"))
        self.say(
            f"   downscaling {lr.sizes['time']} times of {cells} cells by"
            f" ×{out.attrs['xdeepr_factor']}, {members} members"
        )
        started = time.monotonic()
        with progress_bar("downscaling" if sys.stderr.isatty() else None):
            out = out.compute()
        self.say(f"   took {time.monotonic() - started:.0f} s")
        return out

    def show_scores(self, scores: xr.Dataset) -> None:
        self.say("\n" + indent(score_table(scores), "   ") + "\n")

    def write_scores(self, scores: dict[str, xr.Dataset]) -> None:
        """Write the tables of all parts to one text file."""
        text = "\n".join(f"{part}\n\n{score_table(table)}\n" for part, table in scores.items())
        with whole(self.folder / "scores.txt") as scratch:
            scratch.write_text(text, encoding="utf-8")
        self.say(f"   wrote {self.folder / 'scores.txt'}")

    def write(self, name: str, out: xr.Dataset) -> None:
        self.say(f"   wrote {write_file(out, self.folder / f'{name}.nc', overwrite=True)}")

    def picture(
        self, name: str, lr: xr.Dataset, out: xr.Dataset, hr: xr.Dataset, statics: xr.Dataset
    ) -> None:
        """Draw one time: an afternoon, when terrain and coasts show best."""
        hours = out["time"].dt.hour.values
        afternoon = int(np.abs(hours - 12).argmin())
        self.draw(name, plot_downscaling, lr, out, hr, time=afternoon, statics=statics)

    def draw(self, name: str, plot: Callable[..., Figure], *fields: Any, **options: Any) -> None:
        if util.find_spec("matplotlib") is None:  # it is optional
            self.say("   no picture: matplotlib is missing (pip install 'xdeepr[plot]')")
            return
        file = self.folder / f"{name}.png"
        with whole(file) as scratch:
            plot(*fields, **options).savefig(scratch, dpi=150)
        self.say(f"   wrote {file}")


# --- real data, if they are here ----------------------------------------------------------


def _open_italy() -> tuple[xr.Dataset, xr.Dataset] | None:
    """Return HR fields and statics if their files are on this machine."""
    for folder in _data_folders():
        if all((folder / name).is_file() for name in ITALY_FILES):
            with _only_from(folder):
                # 40 rows, so that LR cells of 4 × 4 fill the domain.
                return open_era5_italy().isel(latitude=slice(0, 40)), open_era5_static()
    return None


def _data_folders() -> list[Path]:
    """Where example data may lie: the user's folder, beside the repository, the cache."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return [*([Path(named)] if named else []), beside, Path(pooch.os_cache("xdeepr"))]


@contextmanager
def _only_from(folder: Path) -> Iterator[None]:
    """Let :mod:`xdeepr.datasets` read from a folder: it then checks files and fetches none."""
    before = os.environ.get(DATA_DIR_VARIABLE)
    os.environ[DATA_DIR_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[DATA_DIR_VARIABLE]
        else:
            os.environ[DATA_DIR_VARIABLE] = before
