"""Examples in docstrings are run as they stand: each in an empty folder, with the usual names.

What tests share is in `tests/conftest.py`; this file lies above the package for its examples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xdeepr


@pytest.fixture(autouse=True)
def example(request: pytest.FixtureRequest) -> None:
    """Let an example write files, and call xdeepr, xarray and numpy by their usual names."""
    if not isinstance(request.node, pytest.DoctestItem):
        return
    monkeypatch: pytest.MonkeyPatch = request.getfixturevalue("monkeypatch")
    folder: Path = request.getfixturevalue("tmp_path")
    names: dict[str, Any] = request.getfixturevalue("doctest_namespace")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDEEPR_CACHE_DIR", str(folder / "cache"))
    names.update(xdeepr=xdeepr, np=np, xr=xr)
