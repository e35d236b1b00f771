"""What the training uses of torch that torch does not promise."""

from __future__ import annotations

import pytest
import torch

from xdeepr.training.precision import computes_in_bfloat16, dtype_of

CPU = torch.device("cpu")


def test_torch_still_says_what_processors_compute_in():
    """A private door, opened in one place: if it is shut, "auto" means float32 everywhere."""
    assert isinstance(torch.cpu._is_avx512_bf16_supported(), bool)
    assert computes_in_bfloat16(CPU) == torch.cpu._is_avx512_bf16_supported()


def test_without_that_door_processors_compute_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not computes_in_bfloat16(CPU)
    assert dtype_of("auto", CPU) == torch.float32


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_what_the_device_has(native, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: native)
    assert dtype_of("auto", CPU) == (torch.bfloat16 if native else torch.float32)
    assert dtype_of("float32", CPU) == torch.float32
    assert dtype_of("bfloat16", CPU) == torch.bfloat16
    assert not computes_in_bfloat16(torch.device("meta"))
