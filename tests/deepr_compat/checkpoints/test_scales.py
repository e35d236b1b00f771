"""Means and deviations of DeepR's training, from its JSON file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.deepr_compat.checkpoints.folders import SCALE, write_json
from xdeepr.deepr_compat.checkpoints.cards import read_scale
from xdeepr.errors import CheckpointError

SHAPES = {"lr_shape": (4, 5), "hr_shape": (8, 10)}


def entry(mean, std, method="domain-wise", period="monthly"):
    return {"method": method, "time-agg": period, "average": mean, "standard_deviation": std}


def both(mean, std, **options):
    return {role: entry(mean, std, **options) for role in ("features", "label")}


def test_numbers_for_each_month(tmp_path):
    write_json(tmp_path / "training_scale.json", SCALE)
    scale = read_scale(tmp_path / "training_scale.json", **SHAPES)
    for normalization, role in ((scale.features, "features"), (scale.label, "label")):
        assert normalization.by_month
        assert normalization.method == "domain-wise"
        field = np.full((12, 1, 2, 3), 290.0)
        months = np.arange(1, 13)
        wanted = (290 - np.array(SCALE[role]["average"])) / SCALE[role]["standard_deviation"]
        found = normalization.apply(field, months=months)
        np.testing.assert_allclose(found[:, 0, 0, 0], wanted, rtol=1e-12)
        np.testing.assert_allclose(normalization.invert(found, months=months), field)


@pytest.mark.parametrize(("mean", "std"), [(280.0, 3.0), ([280.0], [3.0])])
def test_one_number(mean, std):
    scale = read_scale(both(mean, std), **SHAPES)
    assert not scale.features.by_month
    assert scale.features.mean.ravel().tolist() == [280.0]


@pytest.mark.parametrize("method", ["pixel-wise", "landmask-wise"])
@pytest.mark.parametrize("months", [1, 12])
def test_numbers_for_each_cell_begin_in_the_north(method, months):
    """DeepR's rows go from north to south, those of xdeepr from south to north."""
    rng = np.random.default_rng(0)
    cells = {"features": (4, 5), "label": (8, 10)}
    data = {
        role: entry(*(rng.uniform(1, 2, (months, *shape)).squeeze().tolist() for _ in "ms"), method)
        for role, shape in cells.items()
    }
    scale = read_scale(data, **SHAPES)
    for normalization, role in ((scale.features, "features"), (scale.label, "label")):
        shape = cells[role]
        given = np.array(data[role]["average"]).reshape(months, *shape)
        assert normalization.method == method
        assert normalization.pixelwise
        np.testing.assert_array_equal(normalization.mean[:, 0, ::-1], given)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"features": entry(1, 1)}, "label: missing"),
        ({**both(1.0, 1.0), "extra": 1}, "extra: unknown key"),
        ({**both(1.0, 1.0), "label": 3}, "label: give keys and values, not 3"),
        (
            both(1.0, 1.0, method="min-max"),
            r"features\.method: should be 'domain-wise', 'pixel-wise'",
        ),
        (
            both(1.0, 1.0, period="hourly"),
            r"label\.time-agg: should be 'monthly' \(given: 'hourly'",
        ),
        (both([1.0] * 11, [1.0] * 11), r"shape \(11,\).*12 for the months.*4 × 5"),
        (both([1.0] * 12, 1.0), "the same"),
        (both("warm", 1.0), r"features\.average is not made of numbers"),
        (both([[1.0], [1.0, 2.0]], 1.0), "not made of numbers"),
        (both(1.0, 0.0), "greater than 0"),
        (both(1.0, -1.0), "greater than 0"),
        (both(float("inf"), 1.0), "finite"),
        (both(None, 1.0), "finite|not made of numbers"),
        ({"features": {}, "label": {}}, r"features\.average: missing"),
    ],
)
def test_scales_that_are_wrong(data, words):
    with pytest.raises(CheckpointError, match=words):
        read_scale(data, **SHAPES)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"features": NaN, "label": 1}', b"[" * 10**5],
    ids=["empty", "brace", "list", "binary", "nan", "deep"],
)
def test_files_that_are_no_json(content, tmp_path):
    file = tmp_path / "training_scale.json"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"training_scale\.json.*again"):
        read_scale(file, **SHAPES)


def test_a_file_that_is_missing_or_too_long(tmp_path):
    file = tmp_path / "training_scale.json"
    with pytest.raises(CheckpointError, match=r"training_scale\.json is missing"):
        read_scale(file, **SHAPES)
    with file.open("wb") as stream:
        stream.truncate(2**30)
    with pytest.raises(CheckpointError, match="1,073,741,824 bytes, more than"):
        read_scale(file, **SHAPES)


def test_the_published_scale():
    """The file of predictia/convswin2sr_mediterranean begins like this."""
    text = """{"features": {"method": "domain-wise", "time-agg": "monthly", "average":
    [281.42816162109375, 282.15557861328125, 284.0664978027344, 285.7382507324219,
    289.0589904785156, 292.7245788574219, 295.4223327636719, 295.7262268066406,
    292.9175109863281, 289.35040283203125, 284.90521240234375, 282.4087219238281],
    "standard_deviation": [3.2544901371002197, 3.2938857078552246, 3.4136667251586914,
    3.407156229019165, 3.61722731590271, 3.698336124420166, 3.5602056980133057,
    3.4846906661987305, 3.4908103942871094, 3.321087598800659, 3.387758493423462,
    3.1941895484924316]}}"""
    data = json.loads(text)
    scale = read_scale({**data, "label": data["features"]}, **SHAPES)
    july = scale.features.apply(np.full((1, 1, 2, 2), 295.4223327636719), months=np.array([7]))
    np.testing.assert_allclose(july, 0, atol=1e-12)
