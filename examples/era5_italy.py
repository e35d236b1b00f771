"""Downscale real fields by a factor of 4: from the data to the scores.

A perfect-model experiment, so that the truth is known: the coarse field is the block mean of the
fine one. The same code and settings run on three sets; nothing but the data changes.

    python examples/era5_italy.py --max-time 15min
    python examples/era5_italy.py --dataset uk
    python examples/era5_italy.py --dataset mogreps-wind

The data are fetched once, or read from --data-dir (or $XDEEPR_DATA_DIR).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from xdeepr import datasets

FACTOR = 4


@dataclass(frozen=True)
class Case:
    """Fine fields, static covariates, and three parts of the period with gaps between them.

    Neighbouring hours are almost the same field: a split at random would test the memory of the
    network and not its skill.
    """

    hr: xr.Dataset
    statics: xr.Dataset
    training: slice
    validation: slice
    test: slice


def main() -> None:
    options = parse_arguments()
    if options.data_dir:
        os.environ["XDEEPR_DATA_DIR"] = str(options.data_dir)
    case = CASES[options.dataset]()
    lr = case.hr.deepr.coarsen(FACTOR)
    print(f"{options.dataset}: {dict(lr.sizes)} to {dict(case.hr.sizes)}", flush=True)

    model = lr.sel(time=case.training).deepr.fit(
        case.hr.sel(time=case.training),
        covariates=case.statics,
        validation=(lr.sel(time=case.validation), case.hr.sel(time=case.validation)),
        max_time=options.max_time,
        max_steps=options.max_steps,
        seed=options.seed,
        device=options.device,
        name=f"{options.dataset}-x{FACTOR}",
    )
    print(f"\n{model}\n", flush=True)
    folder = model.save(options.out / str(model.card.name), overwrite=True)

    every = slice(None, None, options.every)
    new_lr, new_hr = (ds.sel(time=case.test).isel(time=every) for ds in (lr, case.hr))
    out = new_lr.deepr.downscale(
        folder, members=options.members, seed=options.seed, device=options.device
    )
    out.to_netcdf(options.out / f"{options.dataset}.nc")

    # Scored from the file: what is verified is what anyone who gets the file will see.
    with xr.open_dataset(options.out / f"{options.dataset}.nc") as written:
        scores = written.deepr.verify(new_hr, predictor=new_lr)
    print(scores.deepr.score_table())
    scores.to_netcdf(options.out / f"{options.dataset}-scores.nc")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=list(CASES), default="italy")
    parser.add_argument("--data-dir", type=Path, help="folder of the example data")
    parser.add_argument("--max-time", default="15min", help="of the training (%(default)s)")
    parser.add_argument("--max-steps", type=int, help="of the training, for a short trial")
    parser.add_argument("--members", type=int, default=10, help="realizations (%(default)s)")
    parser.add_argument("--every", type=int, default=1, help="test only each n-th field")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", help="torch device (a GPU where there is one)")
    parser.add_argument("--out", type=Path, default=Path("example-output"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def italy() -> Case:
    """2 m temperature over Italy, 3-hourly, May and June 2022: mountains, coasts, hot days."""
    return Case(
        datasets.open_era5_italy().isel(latitude=slice(0, 40)),
        datasets.open_era5_static(),
        training=slice(None, "2022-06-06"),
        validation=slice("2022-06-08", "2022-06-17"),
        test=slice("2022-06-19", None),
    )


def uk() -> Case:
    """2 m temperature over the United Kingdom, hourly, March 2019. Reading it needs cfgrib."""
    return Case(
        datasets.open_era5_uk().isel(latitude=slice(0, 32), longitude=slice(0, 48)),
        datasets.open_era5_static(),
        training=slice(None, "2019-03-18"),
        validation=slice("2019-03-20", "2019-03-23"),
        test=slice("2019-03-25", None),
    )


def mogreps_wind() -> Case:
    """10 m wind speed at 2 km on a projected grid, 15 UTC of four days, 12 members a day."""
    return Case(
        members_as_times(datasets.open_mogreps_uk("wind_speed")),
        datasets.open_mogreps_uk_static(),
        training=slice(None, "2017-06-03"),
        validation=slice("2017-06-04", "2017-06-04"),
        test=slice("2017-06-05", None),
    )


def members_as_times(ds: xr.Dataset) -> xr.Dataset:
    """Put the members of the input one behind the other along time, a minute apart.

    Each member of a weather forecast is a field of its own to be downscaled, with its own
    coarse version, and not a realization of one downscaling. Times must be distinct: they
    match the fields of LR and HR, and the noise is keyed by them.
    """
    members = []
    for number in range(ds.sizes["realization"]):
        member = ds.isel(realization=number).drop_vars("realization")
        shifted = member["time"].variable.copy(data=member["time"] + np.timedelta64(number, "m"))
        members.append(member.assign_coords(time=shifted))
    fields = [name for name in ds.data_vars if "realization" in ds[name].dims]
    stacked = xr.concat([member[fields] for member in members], "time").sortby("time")
    return stacked.assign(ds.drop_vars(fields).data_vars).drop_vars("forecast_reference_time")


CASES: dict[str, Callable[[], Case]] = {"italy": italy, "uk": uk, "mogreps-wind": mogreps_wind}


if __name__ == "__main__":
    main()
