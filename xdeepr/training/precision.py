"""The arithmetic of a network in training."""

from __future__ import annotations

from typing import Literal

import torch

Precision = Literal["auto", "float32", "bfloat16"]


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the type that a network computes in; "auto" is bfloat16 where the device has it."""
    if precision == "auto":
        precision = "bfloat16" if computes_in_bfloat16(device) else "float32"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16.

    torch says so of processors in private only, and before 2.6 not at all; then the answer is no.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return device.type == "cpu" and supported is not None and bool(supported())
