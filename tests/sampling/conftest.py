"""Let diffusers import all of its solvers."""

from __future__ import annotations

import importlib
import sys
import types

import diffusers
import pytest

NEED_TORCHSDE = {
    "DPMSolverSDEScheduler": "scheduling_dpmsolver_sde",
    "CosineDPMSolverMultistepScheduler": "scheduling_cosine_dpmsolver_multistep",
}
"""They need torchsde, of which xdeepr uses nothing but the import: it brings its own noise."""


@pytest.fixture
def torchsde(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let diffusers import the solvers that need torchsde, and never call it."""
    try:
        importlib.import_module("torchsde")
    except ImportError:
        monkeypatch.setitem(sys.modules, "torchsde", types.ModuleType("torchsde"))
        for name, module in NEED_TORCHSDE.items():
            found = importlib.import_module(f"diffusers.schedulers.{module}")
            monkeypatch.setattr(diffusers, name, getattr(found, name))
