"""Compute a result region by region: integer geometry, one dask graph, and patience with workers.

A region is the smallest part whose edges are edges of chunks in memory and of chunks on disk, for
all fields of the result together. So no block is computed twice and no file is written twice.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, product
from math import prod
from typing import Any

import dask
import dask.array as da
from dask.delayed import Delayed
from dask.highlevelgraph import HighLevelGraph

from xdeepr.errors import OutputError
from xdeepr.io.journal import Journal, Session
from xdeepr.io.targets import Target

ATTEMPTS = 3
"""How often in a row all workers may be lost without a region done in between."""


@dataclass(frozen=True)
class Field:
    """One variable to compute.

    Parameters
    ----------
    name : str
        Its name.
    dims : tuple of str
        Its dimensions.
    array : dask.array.Array
        Its values, in blocks that cover whole files.
    """

    name: str
    dims: tuple[str, ...]
    array: da.Array

    @cached_property
    def edges(self) -> tuple[tuple[int, ...], ...]:
        """Edges of the blocks along each dimension."""
        return tuple((0, *accumulate(sizes)) for sizes in self.array.chunks)

    def places(self) -> Iterator[tuple[slice, ...]]:
        """Return the places of all blocks, the last dimension varying fastest."""
        yield from product(*([slice(*ends) for ends in pairwise(e)] for e in self.edges))


@dataclass(frozen=True)
class Partition:
    """The regions of a result: a product of spans of its dimensions.

    Parameters
    ----------
    cuts : mapping
        Edges of the regions along each dimension, from 0 to its size. The last dimension varies
        fastest.
    """

    cuts: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, fields: Sequence[Field], first: Sequence[str] = ()) -> Partition:
        """Cut the dimensions of all fields where no block is cut.

        Parameters
        ----------
        fields : sequence of Field
            What is computed.
        first : sequence of str
            Dimensions that vary slowest: those whose parts share their inputs.

        Returns
        -------
        Partition
        """
        edges: dict[str, set[int]] = {}
        for field in fields:
            for dim, own in zip(field.dims, field.edges, strict=True):
                edges[dim] = edges.get(dim, set(own)) & set(own)
        order = [*(d for d in first if d in edges), *(d for d in edges if d not in first)]
        return cls({dim: tuple(sorted(edges[dim])) for dim in order})

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of regions along each dimension."""
        return tuple(len(edges) - 1 for edges in self.cuts.values())

    def __len__(self) -> int:
        return prod(self.shape)

    def spans(self, number: int) -> dict[str, tuple[int, int]]:
        """Return where a region begins and ends along each dimension.

        Parameters
        ----------
        number : int
            Which region.

        Returns
        -------
        dict
        """
        out = {}
        for dim, edges in reversed([*self.cuts.items()]):
            number, at = divmod(number, len(edges) - 1)
            out[dim] = (edges[at], edges[at + 1])
        return out

    def blocks(
        self, field: Field, number: int
    ) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Return the blocks of a field that a region has.

        Parameters
        ----------
        field : Field
            One of those the partition was made of.
        number : int
            Which region.

        Yields
        ------
        (tuple of int, tuple of slice)
            The block's number along each dimension, and its place in the field.
        """
        spans = self.spans(number)
        if any(spans[dim][0] for dim in spans if dim not in field.dims):
            return  # a field without the dimension belongs to the first regions along it
        along = []
        for dim, edges in zip(field.dims, field.edges, strict=True):
            first, end = (bisect_left(edges, edge) for edge in spans[dim])
            along.append([(n, slice(edges[n], edges[n + 1])) for n in range(first, end)])
        for block in product(*along):
            yield tuple(n for n, _ in block), tuple(place for _, place in block)


def compute(
    fields: Sequence[Field],
    targets: Mapping[str, Target],
    partition: Partition,
    journal: Journal,
    seen: Callable[[int], object],
) -> None:
    """Compute and write all regions that are not done, with whatever scheduler dask has.

    Parameters
    ----------
    fields : sequence of Field
        What to compute.
    targets : mapping
        Name of a field -> where it goes.
    partition : Partition
        The regions.
    journal : Journal
        Which are done.
    seen : callable
        Is told how many regions are done.

    Raises
    ------
    OutputError
        If the file system refuses, or workers are lost again and again.
    """
    seen(len(journal.done))
    attempts = 0
    while missing := journal.missing:
        with journal.session(seen) as session, _tied_processes():
            try:
                _graph(fields, targets, partition, session, missing).compute()
            except Exception as error:
                if not _lost_workers(error):
                    raise
                lost: Exception | None = error
            else:
                lost = None
        if lost is None:
            journal.enter_all()
        elif len(journal.missing) < len(missing):
            attempts = 0
        elif (attempts := attempts + 1) >= ATTEMPTS:
            raise OutputError(
                f"dask has lost its workers {attempts} times without a region done ({lost}): if it"
                " is their memory, give them more, or ask for smaller blocks (batch_size=, tile=)."
            ) from lost
    seen(len(journal.done))


def _graph(
    fields: Sequence[Field],
    targets: Mapping[str, Target],
    partition: Partition,
    session: Session,
    numbers: Sequence[int],
) -> Delayed:
    """Return what computes and writes regions: a task for each block, and one for each region."""
    name = f"xdeepr-write-{session.folder.rpartition('-')[2]}"
    graph: dict[Any, Any] = {}
    last: list[Any] = []
    for field in fields:
        graph[f"{name}-to-{field.name}"] = targets[field.name]
    for number in numbers:
        written = []
        for field in fields:
            for index, place in partition.blocks(field, number):
                key = (f"{name}-{field.name}", *index)
                source = (field.array.name, *index)
                graph[key] = (session.write, f"{name}-to-{field.name}", place, source)
                written.append(key)
        note = (f"{name}-note", number)
        graph[note] = (session.note, number, written)
        # nothing waits for this chain, but dask begins with what its end is furthest from: the
        # regions are computed in order, while each is noted as soon as it is there
        graph[link := (f"{name}-after", number)] = (_nothing, [note, *last])
        last = [link]
    graph[name] = (_nothing, last)
    arrays: list[Any] = [field.array for field in fields]
    layers = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
    # as a graph of arrays, whose optimization computes and writes a block in one go
    return Delayed(name, da.Array.__dask_optimize__(layers, [name]))


def _nothing(_: Any) -> None:
    """Come after other tasks."""


def _lost_workers(error: Exception) -> bool:
    """Whether an error says that worker processes died, not that a task failed."""
    from distributed.scheduler import KilledWorker

    return isinstance(error, KilledWorker | BrokenProcessPool)


def _tied_processes() -> Any:
    """Let processes that dask starts end with this one, however it ends."""
    if dask.config.get("multiprocessing.initializer", None) is not None:
        return nullcontext()
    return dask.config.set({"multiprocessing.initializer": _end_with_parent})


def _end_with_parent() -> None:
    """Watch the parent process from a worker: a killed one cannot send its workers home."""
    import multiprocessing
    import os
    import threading

    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
