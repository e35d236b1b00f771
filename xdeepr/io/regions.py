"""Compute a result region by region: integer geometry, one dask graph, and patience with workers.

A region is the smallest part whose edges are edges of chunks in memory and of chunks on disk, for
all fields of the result together. So no block is computed twice and no file is written twice.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise, product
from math import prod
from pathlib import Path
from typing import Any

import dask.array as da
from dask.delayed import Delayed

from xdeepr.errors import OutputError
from xdeepr.io.journal import Journal, Session
from xdeepr.io.targets import Target
from xdeepr.io.with_dask import Processes, as_one_task, lost_workers, workers

ATTEMPTS = 3
"""How often in a row all workers may be lost without a region done in between."""

REGIONS, SECONDS, MOST_BYTES = 16, 60.0, 2**32
"""Regions that each worker gets at a time, which become more until they take so many seconds or
hold so many bytes. Between two lots, workers wait for the last of them."""


@dataclass(frozen=True)
class Field:
    """One variable to compute, in blocks that cover whole files.

    `computed` are the sizes of the blocks in which it is computed, where those are others.
    """

    name: str
    dims: tuple[str, ...]
    array: da.Array
    computed: tuple[tuple[int, ...], ...] | None = None

    @cached_property
    def edges(self) -> tuple[tuple[int, ...], ...]:
        """Edges of the blocks along each dimension."""
        return tuple((0, *accumulate(sizes)) for sizes in self.array.chunks)

    def places(self) -> Iterator[tuple[slice, ...]]:
        """Return the places of all blocks, the last dimension varying fastest."""
        yield from product(*([slice(*ends) for ends in pairwise(e)] for e in self.edges))


@dataclass(frozen=True)
class Partition:
    """The regions of a result: a product of spans of its dimensions, the last varying fastest.

    `cuts` are the edges of the regions along each dimension, from 0 to its size.
    """

    cuts: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, fields: Sequence[Field], first: Sequence[str] = ()) -> Partition:
        """Cut the dimensions of all fields where no block is cut.

        The dimensions in `first` vary slowest: those whose parts share their inputs.
        """
        edges: dict[str, set[int]] = {}
        for field in fields:
            computed = field.computed or field.array.chunks
            for dim, own, sizes in zip(field.dims, field.edges, computed, strict=True):
                uncut = {0, *accumulate(sizes)} & {*own}
                edges[dim] = edges.get(dim, uncut) & uncut
        order = [*(d for d in first if d in edges), *(d for d in edges if d not in first)]
        return cls({dim: tuple(sorted(edges[dim])) for dim in order})

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of regions along each dimension."""
        return tuple(len(edges) - 1 for edges in self.cuts.values())

    def __len__(self) -> int:
        return prod(self.shape)

    def spans(self, number: int) -> dict[str, tuple[int, int]]:
        """Return where a region begins and ends along each dimension."""
        out = {}
        for dim, edges in reversed([*self.cuts.items()]):
            number, at = divmod(number, len(edges) - 1)
            out[dim] = (edges[at], edges[at + 1])
        return out

    def blocks(
        self, field: Field, number: int
    ) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Return number along each dimension, and place in the field, of each block of a region."""
        spans = self.spans(number)
        if any(spans[dim][0] for dim in spans if dim not in field.dims):
            return  # a field without the dimension belongs to the first regions along it
        along = []
        for dim, edges in zip(field.dims, field.edges, strict=True):
            first, end = (bisect_left(edges, edge) for edge in spans[dim])
            along.append([(n, slice(edges[n], edges[n + 1])) for n in range(first, end)])
        for block in product(*along):
            yield tuple(n for n, _ in block), tuple(place for _, place in block)


def files_of(
    fields: Sequence[Field], targets: Mapping[str, Target], partition: Partition, number: int
) -> Iterator[Path]:
    """Return the files of a region; `targets` are those of the fields, by name."""
    for field in fields:
        for _, place in partition.blocks(field, number):
            yield from targets[field.name].files(place)


def compute(
    fields: Sequence[Field],
    targets: Mapping[str, Target],
    partition: Partition,
    journal: Journal,
    seen: Callable[[int], object],
) -> None:
    """Compute and write all regions that are not done, with whatever scheduler dask has.

    They are given to it in order, some at a time: enough to keep all workers busy, and few enough
    that the whole result is never in memory, nor all of its tasks with the scheduler. `seen` is
    called with the number of regions done.
    """
    seen(len(journal.done))
    todo, attempts = journal.missing, 0
    size = sum(f.array.nbytes for f in fields) / max(len(partition), 1)
    pace = Pace(size)
    with journal.session(seen) as session, closing(Processes()) as processes:
        while todo:
            numbers = todo[: pace.regions]
            graph = _graph(fields, targets, partition, session, numbers)
            try:
                with pace, processes.used():
                    graph.compute()
            except Exception as error:
                if not lost_workers(error):
                    raise
                processes.close()
                before, todo = len(todo), journal.look()
                attempts = attempts + 1 if len(todo) == before else 0
                if attempts >= ATTEMPTS:
                    raise _gave_up(attempts, error) from error
            else:
                todo = todo[len(numbers) :]
    journal.enter_all()
    seen(len(journal.done))


class Pace:
    """How many regions of `size` bytes are computed at a time: those of about a minute."""

    def __init__(self, size: float) -> None:
        count = workers()
        self.most = max(2 * count, int(MOST_BYTES / max(size, 1)))
        self.regions = min(REGIONS * count, self.most)

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if time.monotonic() - self.start < SECONDS:
            self.regions = min(2 * self.regions, self.most)


def _graph(
    fields: Sequence[Field],
    targets: Mapping[str, Target],
    partition: Partition,
    session: Session,
    numbers: Sequence[int],
) -> Delayed:
    """Return what computes and writes regions: a task for each block, and one for each region."""
    name = f"xdeepr-write-{session.folder.rpartition('-')[2]}-{numbers[0]}"
    graph: dict[Any, Any] = {}
    notes = []
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
        graph[note := (f"{name}-note", number)] = (session.note, number, written)
        notes.append(note)
    graph[name] = (_nothing, notes)
    return as_one_task(name, graph, [field.array for field in fields])


def _nothing(_: Any) -> None:
    """Come after other tasks."""


def _gave_up(attempts: int, error: Exception) -> OutputError:
    return OutputError(
        f"dask has lost its workers {attempts} times without a region done ({error}): if it is"
        " their memory, give them more, or ask for smaller blocks (batch_size=, tile=)."
    )
