"""The lazy result: one dask task for each block.

A task gets its part of the predictors and covariates through the graph, and everything else
(geometry, options, which model) from one small :class:`Recipe` that all tasks share. The model
itself is never in the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import dask.array as da
import numpy as np

from xdeepr.downscaling.parts import FIELDS, Arrays, Cutter, Reader
from xdeepr.downscaling.with_dask import array_of_tasks, name_of
from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.covariates import check_statics
from xdeepr.inputs.quantities import Quantity, check_finite
from xdeepr.inputs.times import Times
from xdeepr.models.block_task import BlockTask
from xdeepr.models.devices import automatic_device, limit_threads
from xdeepr.sampling.samplers import SamplingOptions
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import Block


@dataclass(frozen=True)
class Source:
    """Where a worker finds the model.

    Parameters
    ----------
    name : str
        An interpolation method, or the folder of a checkpoint.
    digest : str
        Identifies the checkpoint's content; empty for interpolation.
    device : str
        Torch device, or "auto": a GPU where the worker has one.
    """

    name: str
    digest: str = ""
    device: str = "auto"

    def model(self) -> Any:
        """Return the object whose ``downscale_block`` does the work."""
        from xdeepr.models.downscaler import Interpolator

        limit_threads()
        if not self.digest:
            return Interpolator(self.name)  # type: ignore[arg-type]
        from xdeepr.models.cache import load_once

        return load_once(self.name, self.digest, resolve_device(self.device))


@dataclass(frozen=True)
class Recipe:
    """What all blocks of one result have in common.

    Parameters
    ----------
    predictors : tuple of Quantity
        For error messages.
    covariates : (tuple of Quantity, tuple of Quantity)
        Static ones and those that vary in time, for error messages.
    with_covariates : bool
        Whether the covariates are known.
    """

    source: Source
    geometry: Geometry
    options: SamplingOptions
    predictors: tuple[Quantity, ...]
    covariates: tuple[tuple[Quantity, ...], tuple[Quantity, ...]] = ((), ())
    with_covariates: bool = True


def resolve_device(device: str | None) -> str:
    """Return the torch device to use: "auto" or None means a GPU where there is one."""
    import torch

    return automatic_device() if device in (None, "auto") else str(torch.device(device))


@dataclass(frozen=True)
class Slab:
    """Times and realizations of one task: the first position, and the one after the last."""

    times: tuple[int, int]
    realizations: tuple[int, int]


def compute_block(
    recipe: Recipe,
    times: Times,
    block: Block,
    slab: Slab,
    lr: np.ndarray,
    statics: np.ndarray | Reader,
    varying: np.ndarray | None = None,
    base: np.ndarray | None = None,
    statistics: np.ndarray | None = None,
) -> np.ndarray:
    """Compute one block, (realization, time, predictand, H, W): the function that dask runs.

    `times` are all of the result's; the arrays are those of
    :class:`~xdeepr.inputs.block.BlockInput`, and must be finite.
    """
    times = times.at(slice(*slab.times))
    lr = _own(lr)
    statics = _own(statics.read() if isinstance(statics, Reader) else statics)
    check_finite(lr, [q.name for q in recipe.predictors], times.stamps, "predictor")
    fixed, changing = recipe.covariates
    check_statics(statics, fixed)
    if varying is not None:
        varying = _own(varying)
        names = [q.name for q in changing]
        check_finite(varying[:, : len(names)], names, times.stamps, "covariate")
    if base is not None:
        base = _own(base)
    inputs = BlockInput(
        lr,
        statics,
        times,
        tuple(range(*slab.realizations)),
        varying,
        base,
        statistics,
        recipe.with_covariates,
    )
    model = recipe.source.model()
    return model.downscale_block(BlockTask(inputs, recipe.geometry, block), recipe.options)


def _own(array: np.ndarray) -> np.ndarray:
    """Return an array as torch wants it."""
    return np.require(array, np.float32, ["C_CONTIGUOUS", "WRITEABLE"])


@dataclass(frozen=True)
class Chunking:
    """Sizes of the chunks by which times and realizations are divided among tasks."""

    times: tuple[int, ...]
    realizations: tuple[int, ...]

    @classmethod
    def for_batches(
        cls, times: int, members: int, blocks: int, tiles: int, batch_size: int, field_bytes: int
    ) -> Chunking:
        """Choose chunks that fill a batch, keep the graph small and bound a task's memory.

        The plane has `blocks` blocks of `tiles` tiles, a batch `batch_size` tiles, and a field of a
        block takes `field_bytes` of memory.
        """
        fields = max(1, -(-batch_size // tiles))  # enough for one batch
        most_tasks, most_bytes = 20_000, 2**27
        wanted = max(fields, -(-times * members * blocks // most_tasks))
        wanted = max(1, min(wanted, most_bytes // max(field_bytes, 1)))
        parts = -(-members // wanted)
        member_chunk = -(-members // parts)  # even: 17 in batches of 16 are 9 and 8, not 16 and 1
        time_chunk = max(1, min(times, wanted // member_chunk))
        return cls(_divide(times, time_chunk), _divide(members, member_chunk))


def _divide(length: int, size: int) -> tuple[int, ...]:
    """Return chunk sizes: all `size`, but for the last."""
    full, rest = divmod(length, size)
    return (size,) * full + ((rest,) if rest else ())


def lazy_blocks(
    recipe: Recipe, arrays: Arrays, times: Times, chunking: Chunking, predictands: int
) -> da.Array:
    """Return the output as a dask array (realization, time, predictand, y, x), float32."""
    plan = recipe.geometry.plan
    name = name_of("deepr-downscale", recipe, arrays.names, chunking, times.keys)
    shared = (f"{name}-recipe", f"{name}-times")
    graph: dict[Any, Any] = dict(zip(shared, (recipe, times), strict=True))
    dependencies: list[Any] = []
    slabs = [
        (r, t, Slab(when, members))
        for t, when in enumerate(_runs(chunking.times))
        for r, members in enumerate(_runs(chunking.realizations))
    ]
    cut = Cutter(arrays, chunking.times, recipe.geometry)
    for row, column, block in plan.blocks():
        fields = cut(block)
        block_key = f"{name}-block-{row}-{column}"
        graph[block_key] = block
        for part in fields.values():
            part.enter(graph, dependencies)
        for r, t, slab in slabs:
            inputs = [fields[k].key(t) if k in fields else None for k in FIELDS]
            task = (compute_block, *shared, block_key, slab, *inputs)
            graph[(name, r, t, 0, row, column)] = task
    chunks = (chunking.realizations, chunking.times, (predictands,), *recipe.geometry.chunks)
    return array_of_tasks(name, graph, dependencies, chunks)


def _runs(sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the ends of runs of the given sizes, one behind the other."""
    return [(int(a), int(b)) for a, b in pairwise(np.cumsum([0, *sizes]))]
