"""Doors into dask: what graphs made by hand rely on."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np

from xdeepr.downscaling.with_dask import array_of_tasks, computed, name_of, tasks_of_chunk


def test_the_same_content_gives_the_same_name():
    first, again = (name_of("x", np.arange(3), ("a", 1)) for _ in range(2))
    assert first == again
    assert first != name_of("x", np.arange(4), ("a", 1))


def test_an_array_of_tasks_knows_its_dependencies():
    source = da.arange(6, chunks=3).astype("f4")
    tasks = {("doubled", i): (np.multiply, (source.name, i), 2) for i in range(2)}
    doubled = array_of_tasks("doubled", tasks, [source], ((3, 3),))
    for scheduler in ("synchronous", "threads"):
        with dask.config.set(scheduler=scheduler):
            np.testing.assert_array_equal(doubled, 2 * np.arange(6))
    np.testing.assert_array_equal(doubled[4:], [8, 10])


def test_a_chunk_is_computed_from_its_own_tasks():
    array = da.ones((4, 4), chunks=2) + np.arange(4)
    key = (array.name, 0, 1)
    tasks = tasks_of_chunk(array, key)
    assert len(tasks) < len(dict(array.dask))
    np.testing.assert_array_equal(computed(tasks, key), [[3, 4], [3, 4]])
