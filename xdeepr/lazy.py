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
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph

from xdeepr.blocks import BlockInput, Geometry, SamplingOptions
from xdeepr.card import Quantity
from xdeepr.conditioning import check_finite
from xdeepr.plan import Block


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
        from xdeepr.downscaler import Interpolator

        if not self.digest:
            return Interpolator(self.name)  # type: ignore[arg-type]
        from xdeepr.model_cache import load_once

        return load_once(self.name, self.digest, resolve_device(self.device))


@dataclass(frozen=True)
class Recipe:
    """What all blocks of one result have in common.

    Parameters
    ----------
    source : Source
        The model.
    geometry : Geometry
        Where the blocks lie.
    options : SamplingOptions
        How to sample.
    predictors : tuple of Quantity
        For error messages.
    """

    source: Source
    geometry: Geometry
    options: SamplingOptions
    predictors: tuple[Quantity, ...]


def resolve_device(device: str | None) -> str:
    """Return the torch device to use: "auto" or None means a GPU where there is one."""
    import torch

    if device not in (None, "auto"):
        return str(torch.device(device))
    return "cuda" if torch.cuda.is_available() else "cpu"


def compute_block(
    recipe: Recipe,
    block: Block,
    lr: np.ndarray,
    covariates: np.ndarray,
    times: tuple[np.ndarray, np.ndarray, np.ndarray],
    realizations: tuple[int, ...],
) -> np.ndarray:
    """Compute one block; this is the function that dask runs.

    Parameters
    ----------
    recipe : Recipe
        What all blocks share.
    block : Block
        Which part of the plane.
    lr, covariates : numpy.ndarray
        See :class:`~xdeepr.downscaler.BlockInput`.
    times : tuple
        Time channels, time keys, and the times as text for error messages.
    realizations : tuple of int
        Members to compute.

    Returns
    -------
    numpy.ndarray
        Shape (realization, time, predictand, height, width).

    Raises
    ------
    MissingValuesError
        If a predictor is not finite.
    """
    channels, keys, labels = times
    lr = np.ascontiguousarray(lr, dtype=np.float32)
    check_finite(lr, [q.name for q in recipe.predictors], list(labels), "predictor")
    inputs = BlockInput(lr, covariates, channels, keys, realizations)
    model = recipe.source.model()
    return model.downscale_block(inputs, recipe.geometry, block, recipe.options)


@dataclass(frozen=True)
class Chunking:
    """How times and realizations are divided among tasks.

    Parameters
    ----------
    times, realizations : tuple of int
        Sizes of the chunks.
    """

    times: tuple[int, ...]
    realizations: tuple[int, ...]

    @classmethod
    def for_batches(
        cls, times: int, members: int, blocks: int, tiles: int, batch_size: int, field_bytes: int
    ) -> Chunking:
        """Choose chunks that fill a batch, keep the graph small and bound a task's memory.

        Parameters
        ----------
        times, members, blocks : int
            Numbers of times, realizations and blocks in the plane.
        tiles : int
            Tiles in a block.
        batch_size : int
            Tiles in a network call.
        field_bytes : int
            Memory of one field of a block.

        Returns
        -------
        Chunking
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
    recipe: Recipe,
    lr: da.Array,
    covariates: da.Array,
    times: tuple[np.ndarray, np.ndarray, np.ndarray],
    chunking: Chunking,
    predictands: int,
) -> da.Array:
    """Return the output as a dask array without computing anything.

    Parameters
    ----------
    recipe : Recipe
        Geometry, model and options.
    lr : dask.array.Array
        Predictors (time, predictor, y, x) on the whole LR domain.
    covariates : dask.array.Array
        Static covariates (covariate, H, W) on the whole HR domain.
    times : tuple of numpy.ndarray
        Time channels (time, channel), time keys (time,) and the time values (time,).
    chunking : Chunking
        Division of times and realizations.
    predictands : int
        Number of output variables.

    Returns
    -------
    dask.array.Array
        float32, (realization, time, predictand, y, x).
    """
    plan = recipe.geometry.plan
    name = f"deepr-downscale-{tokenize(recipe, lr.name, covariates.name, chunking, times[1])}"
    graph: dict[Any, Any] = {f"{name}-recipe": recipe}
    dependencies = []
    slabs = _slabs(times, chunking.times)
    members = _slabs((np.arange(sum(chunking.realizations)),), chunking.realizations)
    by_time = lr.rechunk({0: chunking.times})  # once, not for every block of the plane
    for row, column, block in plan.blocks():
        y, x = recipe.geometry.lr_windows(block)
        fields = by_time[:, :, y.slice, x.slice].rechunk({1: -1, 2: -1, 3: -1})
        statics = covariates[:, block.y.window.slice, block.x.window.slice].rechunk(-1)
        dependencies += [fields, statics]
        block_key = f"{name}-block-{row}-{column}"
        graph[block_key] = block
        for t, slab in enumerate(slabs):
            for r, (indices,) in enumerate(members):
                graph[(name, r, t, 0, row, column)] = (
                    compute_block,
                    f"{name}-recipe",
                    block_key,
                    (fields.name, t, 0, 0, 0),
                    (statics.name, 0, 0, 0),
                    slab,
                    tuple(indices.tolist()),
                )
    chunks = (chunking.realizations, chunking.times, (predictands,), *plan.chunks)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=dependencies)
    return da.Array(layers, name, chunks, dtype=np.float32)


def _slabs(arrays: tuple[np.ndarray, ...], sizes: tuple[int, ...]) -> list[tuple[np.ndarray, ...]]:
    """Cut arrays along their first axis into runs of the given sizes."""
    starts = np.cumsum([0, *sizes])
    return [tuple(a[start:stop] for a in arrays) for start, stop in pairwise(starts)]
