"""How long and how to train."""

from __future__ import annotations

import pytest

from xdeepr.errors import OptionError
from xdeepr.training.settings import DEFAULT_EPOCHS, Settings, seconds


@pytest.mark.parametrize(
    ("value", "expected"), [(90, 90.0), ("15min", 900.0), ("2h", 7200.0), (None, None)]
)
def test_durations(value, expected):
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["soon", 0, -5, "-1h", float("nan")])
def test_bad_durations(value):
    with pytest.raises(OptionError, match=r"max_time=.*15min"):
        seconds(value)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, DEFAULT_EPOCHS * 9),
        ({"epochs": 3}, 27),
        ({"max_steps": 5}, 5),
        ({"epochs": 3, "max_steps": 50}, 27),
        ({"max_time": 60.0}, None),
        ({"max_time": 60.0, "max_steps": 4}, 4),
    ],
)
def test_step_limit(limits, expected):
    assert Settings(**limits).step_limit(9) == expected


@pytest.mark.parametrize("name", ["epochs", "max_steps", "batch_size", "learning_rate", "patience"])
def test_numbers_must_be_positive(name):
    with pytest.raises(OptionError, match=f"{name}=0"):
        Settings(**{name: 0})


def test_unknown_precision():
    with pytest.raises(OptionError, match="float16"):
        Settings(precision="float16")
