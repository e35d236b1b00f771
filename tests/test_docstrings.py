"""Examples in docstrings run as they stand: each in an empty folder, with the usual names."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import xdeepr

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
OPTIONS = doctest.REPORT_ONLY_FIRST_FAILURE
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "xdeepr").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"xdeepr": xdeepr, "np": np, "xr": xr}
    module = import_module(name)
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    examples = [test for test in found if test.examples]
    assert examples, "an example that is no part of a docstring"
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for number, test in enumerate(examples):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setenv("XDEEPR_CACHE_DIR", str(folder / "cache"))
        failed = runner.run(test).failed
        assert not failed, f"{test.name}:\n{capsys.readouterr().out}"


def test_few_examples_are_skipped() -> None:
    """Only those that need the network."""
    text = "".join(Path(import_module(n).__file__ or "").read_text() for n in WITH_EXAMPLES)
    assert text.count("doctest: +SKIP") <= 4
