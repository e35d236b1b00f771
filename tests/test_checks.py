"""Names, whole numbers, and whose line a warning points to."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from xdeepr.checks import nearest, one_of, warn, whole_number
from xdeepr.errors import OptionError


@pytest.mark.parametrize(("given", "best"), [("bicubik", "bicubic"), ("NEAREST", "nearest")])
def test_nearest_names(given: str, best: str) -> None:
    assert nearest(given, ("nearest", "bilinear", "bicubic"))[0] == best


def test_there_is_always_a_nearest_name() -> None:
    assert nearest("zzz", ["bicubic"]) == ["bicubic"]
    assert nearest("zzz", []) == []


@pytest.mark.parametrize("value", ["bicubik", "Bicubic", "", None, 3, ["bicubic"]])
def test_unknown_names(value: object) -> None:
    with pytest.raises(OptionError, match=r"method=.* is not one of nearest, bicubic.*Did you"):
        one_of("method", value, ("nearest", "bicubic"))


def test_known_names() -> None:
    assert one_of("method", "bicubic", ("nearest", "bicubic")) == "bicubic"


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "2", None, np.float64(2), 9])
def test_no_whole_numbers(value: object) -> None:
    with pytest.raises(OptionError, match=r"factor=.*whole number from 1 to 8"):
        whole_number("factor", value, most=8)


@pytest.mark.parametrize("value", [1, 8, np.int64(3), np.uint8(8)])
def test_whole_numbers(value: int) -> None:
    whole_number("factor", value, most=8)
    whole_number("factor", None, optional=True)


def test_a_warning_of_this_package_points_to_its_user() -> None:
    ds = xr.Dataset()
    namespace = {"warn": warn, "__name__": "xdeepr.deep.down"}
    exec("def outer(ds):\n    def inner():\n        warn('look')\n    inner()", namespace)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        namespace["outer"](ds)
    assert [w.filename for w in seen] == [__file__]
