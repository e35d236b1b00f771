"""Build a network only as large as its weights are.

The configuration of a network may come from anywhere, and a few digits in it ask for more memory
than there is. The file of weights cannot lie about its size: what does not fit it is not built.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.modules import module as hooks

MOST = 2**14
"""Greatest whole number in a configuration; there are no wider networks or larger grids."""

MOST_WINDOW = 64
"""Greatest edge of a transformer's window: its tables grow with the fourth power."""

MOST_ENTRIES = 64
"""Most entries of a list in a configuration."""

TIMES, SLACK = 10, 1000
"""How much larger than its weights a network may get while it is built; parts are thrown away."""


class TooLargeError(Exception):
    """A network or an option of it is larger than it can be."""


def check_sizes(config: Mapping[str, Any]) -> None:
    """Raise TooLargeError for numbers that no network has, and name the option."""
    for key, value in config.items():
        entries = value if isinstance(value, list | tuple) else [value]
        most = MOST_WINDOW if key == "window_size" else MOST
        if len(entries) > MOST_ENTRIES:
            raise TooLargeError(f"{key} has {len(entries)} entries")
        for number in entries:
            if isinstance(number, int) and not -most <= number <= most:
                raise TooLargeError(f"{key} is {str(number)[:20]}")


@contextmanager
def bounded(*, tensors: int, numbers: int) -> Iterator[None]:
    """Stop the construction of networks in this thread when they get too large for their weights.

    The file of weights holds so many `tensors`, and so many `numbers` in all of them.

    Raises
    ------
    TooLargeError
        Before a tensor that is too large is filled: memory that is not written to costs nothing.
    """
    thread, left = threading.get_ident(), [TIMES * tensors + SLACK, TIMES * numbers + SLACK]

    def count(module: Any, name: str, value: Any) -> None:
        if threading.get_ident() != thread:
            return
        left[0] -= 1
        if isinstance(value, torch.Tensor):
            left[1] -= value.numel()
        if min(left) < 0:
            raise TooLargeError(f"there are {tensors} tensors of {numbers:,} numbers")

    handles = [
        hooks.register_module_parameter_registration_hook(count),
        hooks.register_module_buffer_registration_hook(count),
        hooks.register_module_module_registration_hook(count),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
