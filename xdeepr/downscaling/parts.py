"""Cut the parts that a block needs out of the arrays on the whole domain."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np

from xdeepr.downscaling.with_dask import computed, tasks_of_chunk
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block

FIELDS = ("lr", "statics", "varying", "base", "statistics")
"""Arrays in the order in which :func:`~xdeepr.downscaling.graph.compute_block` takes them."""


@dataclass(frozen=True)
class Arrays:
    """The dask arrays that blocks are computed from.

    Parameters
    ----------
    lr : dask.array.Array
        Predictors (time, predictor, y, x) on the whole LR domain.
    statics : dask.array.Array
        Static covariates (covariate, H, W) on the whole HR domain.
    varying, base : dask.array.Array, optional
        Covariates that vary in time with the sun's position, and the output of the base model,
        (time, channel, H, W) on the whole HR domain.
    statistics : dask.array.Array, optional
        Mean and deviation of each field, (time, 2, predictor).
    in_files : bool
        Whether the static covariates are in files that tasks can read at little cost. Each then
        reads its part itself; as chunks in the graph, parts would wait in memory for tasks to come.
    """

    lr: da.Array
    statics: da.Array
    varying: da.Array | None = None
    base: da.Array | None = None
    statistics: da.Array | None = None
    in_files: bool = False

    def around(self, columns: int) -> Arrays:
        """Return fields on the HR grid with columns of the opposite side beyond both ends."""
        if not columns:
            return self
        fields = ("statics", "varying", "base")
        given = {k: array for k in fields if (array := getattr(self, k)) is not None}
        wider = {
            k: da.concatenate([a[..., -columns:], a, a[..., :columns]], axis=-1)
            for k, a in given.items()
        }
        return replace(self, **wider)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the arrays, which stand for their content."""
        return tuple(a.name if a is not None else "" for a in (getattr(self, k) for k in FIELDS))


@dataclass(frozen=True)
class Part:
    """What a block needs of one array, in one chunk but for times, its first dimension if timed."""

    array: da.Array
    timed: bool

    def key(self, time: int) -> Any:
        """Return the key of the chunk with these times."""
        rest = (0,) * (self.array.ndim - self.timed)
        return (self.array.name, time, *rest) if self.timed else (self.array.name, *rest)

    def enter(self, graph: dict[Any, Any], dependencies: list[Any]) -> None:
        """Let tasks of a graph have it: dask computes its chunks for them."""
        dependencies.append(self.array)


@dataclass(frozen=True)
class PartInFiles(Part):
    """One without times that each task computes itself."""

    def key(self, time: int) -> Any:
        """Return the key of what computes it."""
        return f"{self.array.name}-in-files"

    def enter(self, graph: dict[Any, Any], dependencies: list[Any]) -> None:
        """Let tasks of a graph have what computes it."""
        chunk = super().key(0)
        graph[self.key(0)] = Reader(tasks_of_chunk(self.array, chunk), chunk)


@dataclass(frozen=True)
class Reader:
    """The tasks that make a chunk, and the key of the last, for a task that computes it itself."""

    graph: dict[Any, Any]
    key: tuple[Any, ...]

    def read(self) -> np.ndarray:
        """Return the values."""
        return computed(self.graph, self.key)


class Cutter:
    """Cut the parts of all arrays that a block needs; `times` are the sizes of chunks in time."""

    def __init__(self, arrays: Arrays, times: tuple[int, ...], geometry: Geometry) -> None:
        # times are rechunked once, not for every block of the plane
        self.fields = {
            name: array if name == "statics" else array.rechunk({0: times})
            for name in FIELDS
            if (array := getattr(arrays, name)) is not None
        }
        self.geometry = geometry
        self.in_files = {"statics"} if arrays.in_files else set()

    def __call__(self, block: Block) -> dict[str, Part]:
        """Return for each array the part that a block needs."""
        windows = {"lr": self.geometry.lr_windows(block), "statistics": ()}
        out = {}
        for name, array in self.fields.items():
            spans = windows.get(name, self.geometry.hr_windows(block))
            part = array[(..., *(span.slice for span in spans))]
            timed = name != "statics"
            single = {axis: -1 for axis in range(int(timed), part.ndim)}
            kind = PartInFiles if name in self.in_files else Part
            out[name] = kind(part.rechunk(single), timed)
        return out
