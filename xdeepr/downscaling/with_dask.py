"""What is asked of dask below its arrays, in one place: graphs made by hand, and parts of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dask
import dask.array as da
import numpy as np
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph


def name_of(prefix: str, *content: Any) -> str:
    """Return a name for a layer of a graph; the same content gives the same name."""
    return f"{prefix}-{tokenize(*content)}"


def array_of_tasks(
    name: str,
    tasks: Mapping[Any, Any],
    dependencies: Sequence[Any],
    chunks: tuple[tuple[int, ...], ...],
) -> da.Array:
    """Return a float32 array whose chunks are the tasks (name, i, j, ...).

    Tasks of other keys may be used by these, and those of the arrays `dependencies`.
    """
    layers = HighLevelGraph.from_collections(name, dict(tasks), dependencies=dependencies)
    return da.Array(layers, name, chunks, dtype=np.float32)


def tasks_of_chunk(array: da.Array, key: tuple[Any, ...]) -> dict[Any, Any]:
    """Return the tasks that one chunk of an array needs, itself among them."""
    return dict(array.dask.cull({key}).to_dict())


def computed(tasks: Mapping[Any, Any], key: tuple[Any, ...]) -> np.ndarray:
    """Compute one of some tasks in this thread."""
    return np.asarray(dask.get(tasks, key))
