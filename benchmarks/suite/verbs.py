"""The verbs: building a lazy result, its graph, and computing it beside the bare network."""

from __future__ import annotations

import pickle
import tempfile
import time

import torch
import xarray as xr

import xdeepr

STEPS = 5


class Building:
    """Building the lazy result of a year of hourly fields, which computes nothing."""

    params = ("bicubic", "ddpm")
    param_names = ("model",)

    def setup(self, model: str) -> None:
        """Make a year of island weather, as one chunk a day of which none is computed."""
        lr, _, _ = xdeepr.synthetic.example_pair(days=1)
        hours = xr.date_range("2001-01-01", periods=365 * 24, freq="h")
        year = lr.isel(time=[hour % 24 for hour in range(hours.size)])
        self.lr = year.assign_coords(time=hours).chunk(time=24)
        self.options = {"factor": 4} if model == "bicubic" else {"members": 10}

    def build(self, model: str) -> xr.Dataset:
        """Return the lazy result."""
        return self.lr.deepr.downscale(model, **self.options)

    def time_build(self, model: str) -> None:
        """Time to the lazy result."""
        self.build(model)

    def track_tasks(self, model: str) -> int:
        """Tasks in its graph."""
        return len(self.build(model).t2m.data.dask)

    track_tasks.unit = "tasks"

    def track_graph_bytes(self, model: str) -> float:
        """Pickled size of the tasks that compute blocks, for one of them."""
        graph = dict(self.build(model).t2m.data.dask)
        blocks = {key: task for key, task in graph.items() if "deepr-downscale" in str(key)}
        return len(pickle.dumps(blocks)) / len(blocks)

    track_graph_bytes.unit = "bytes"


class Computing:
    """Computing some hours of the shipped diffusion model."""

    def setup(self) -> None:
        """Load the model once, so that only the work is timed."""
        lr, _, _ = xdeepr.synthetic.example_pair(days=1)
        self.lr = lr.isel(time=slice(0, 4))
        self.out = self.lr.deepr.downscale("ddpm", members=2, steps=STEPS)
        self.network = xdeepr.load("ddpm").network
        self.out.compute()

    def time_compute(self) -> None:
        """Time of 4 hours, 2 realizations."""
        self.out.compute()

    def peakmem_compute(self) -> None:
        """Peak memory of the same."""
        self.out.compute()

    def track_ratio_to_the_network(self) -> float:
        """Return the best of three times over that of the bare network calls."""
        seen: list[torch.Size] = []
        hook = self.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
        with torch.inference_mode():
            model = xdeepr.load("ddpm")
            model.network = self.network
            self.lr.deepr.downscale(model, members=2, steps=STEPS).compute()
        hook.remove()
        return _best(self.out.compute) / _best(lambda: self._bare(seen))

    @torch.inference_mode()
    def _bare(self, calls: list) -> None:
        for inputs in calls:
            self.network(*inputs)


class Verifying:
    """Scores of an ensemble in memory."""

    def setup(self) -> None:
        """Compute an ensemble beforehand."""
        lr, hr, _ = xdeepr.synthetic.example_pair(days=1)
        lr, self.hr = lr.isel(time=slice(0, 6)), hr.isel(time=slice(0, 6))
        self.out = lr.deepr.downscale("ddpm", members=4, steps=2).compute()

    def time_verify(self) -> None:
        """Time of all default scores, without a baseline."""
        self.out.deepr.verify(self.hr, baseline=None).compute()


class Fitting:
    """Steps of a training."""

    timeout = 300

    def setup(self) -> None:
        """Take a day of island weather."""
        self.lr, self.hr, self.statics = xdeepr.synthetic.example_pair(days=1)

    def time_steps(self) -> None:
        """Three steps of the default network on batches of 8."""
        self.lr.deepr.fit(
            self.hr, covariates=self.statics, max_steps=3, batch_size=8, progress=False
        )


class Saving:
    """The folder of a model."""

    def setup(self) -> None:
        """Load the shipped model."""
        self.model = xdeepr.load("ddpm")

    def time_save_and_load(self) -> None:
        """Write and read it."""
        with tempfile.TemporaryDirectory() as folder:
            xdeepr.load(self.model.save(f"{folder}/model"))


def _best(function: object, rounds: int = 3) -> float:
    """Return the least time of some calls, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()  # type: ignore[operator]
        times.append(time.perf_counter() - start)
    return min(times)
