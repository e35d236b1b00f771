"""Every benchmark of the asv suite runs, once and small; none is judged by its time here."""

from __future__ import annotations

import inspect
import itertools
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PREFIXES = ("time_", "track_", "peakmem_")


def cases() -> Iterator[Any]:
    """Yield each method of each class, for one of its parameters at a time."""
    sys.path.insert(0, str(BENCHMARKS))
    for file in sorted((BENCHMARKS / "suite").glob("[!_]*.py")):
        module = import_module(f"suite.{file.stem}")
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ != module.__name__:
                continue
            params = getattr(kind, "params", ())
            for method in (m for m in vars(kind) if m.startswith(PREFIXES)):
                for given in itertools.product(params) if params else [()]:
                    yield pytest.param(kind, method, given, id=f"{name}.{method}{given or ''}")
    sys.path.remove(str(BENCHMARKS))


@pytest.mark.parametrize(("kind", "method", "given"), list(cases()))
def test_a_benchmark_runs(kind: type, method: str, given: tuple[Any, ...]) -> None:
    benchmark = kind()
    if hasattr(benchmark, "setup"):
        benchmark.setup(*given)
    value = getattr(benchmark, method)(*given)
    if method.startswith("track_"):
        assert value > 0


def test_the_configuration_names_the_suite() -> None:
    config = json.loads((BENCHMARKS / "asv.conf.json").read_text())
    assert (BENCHMARKS / config["benchmark_dir"] / "__init__.py").is_file()
    assert (BENCHMARKS / config["repo"] / "pyproject.toml").is_file()
