"""Interpolation window by window is interpolation of the whole."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import xdeepr
from xdeepr.tiling.interpolation import METHODS, interpolate, lr_window
from xdeepr.tiling.plan import Span


@given(
    factor=st.integers(2, 8),
    method=st.sampled_from(METHODS),
    size=st.integers(2, 30),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_a_window_equals_the_slice(factor, method, size, data):
    lr = torch.randn(2, 1, size, 5, generator=torch.Generator().manual_seed(3))
    whole = interpolate(lr, factor, method=method)
    margin = data.draw(st.integers(0, factor * size - 1))
    start = data.draw(st.integers(0, factor * size - margin - 1))
    stop = data.draw(st.integers(start + 1, factor * size - margin))
    rows = lr_window(Span(start, stop), factor, margin, size)
    assert 0 <= rows.start < rows.stop <= size
    part = interpolate(
        lr[:, :, rows.slice],
        factor,
        method=method,
        offset=(start + margin - rows.start * factor, 0),
        shape=(stop - start, 5 * factor),
    )
    torch.testing.assert_close(
        part, whole[:, :, start + margin : stop + margin], rtol=1e-5, atol=1e-5
    )


def plane() -> torch.Tensor:
    cells = torch.arange(9.0)
    return (2 * cells[:, None] - 3 * cells + 1)[None, None]


@pytest.mark.parametrize("factor", [2, 3, 5, 8])
def test_bilinear_is_exact_for_a_plane(factor):
    """Cells are areas: the HR centres of cell i lie at i + (k + 1/2) / factor − 1/2."""
    hr = interpolate(plane(), factor, method="bilinear")[0, 0].numpy()
    centres = (np.arange(9 * factor) + 0.5) / factor - 0.5
    inner = slice(factor, -factor)
    wanted = (2 * centres[:, None] - 3 * centres + 1)[inner, inner]
    np.testing.assert_allclose(hr[inner, inner], wanted, atol=1e-4)


@pytest.mark.parametrize("factor", [2, 3, 5, 8])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_shifted(factor, method):
    """The mean over the HR cells in an LR cell of a plane is that LR cell."""
    hr = interpolate(plane(), factor, method=method)[0, 0]
    means = hr.reshape(9, factor, 9, factor).mean(dim=(1, 3))
    inner = (slice(2, -2), slice(2, -2))
    torch.testing.assert_close(means[inner], plane()[0, 0][inner], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_constant_stays_constant_up_to_the_edge(method):
    hr = interpolate(torch.full((1, 1, 4, 6), 287.5), 5, method=method)
    torch.testing.assert_close(hr, torch.full((1, 1, 20, 30), 287.5), rtol=1e-6, atol=0)


def test_nearest_repeats_cells():
    lr = torch.arange(6.0).reshape(1, 1, 2, 3)
    hr = interpolate(lr, 3, method="nearest")
    torch.testing.assert_close(hr, lr.repeat_interleave(3, -1).repeat_interleave(3, -2))


@pytest.mark.parametrize(("method", "rmse"), [("bilinear", 1.2778), ("bicubic", 1.1185)])
def test_published_baselines(method, rmse, data_dir):
    """RMSE of the ERA5 test part (K) as stated beside the data."""
    import xarray as xr

    with xr.open_dataset(data_dir / "era5/era5_t2m_italy_3h_20220501_20220630.nc") as ds:
        hr = ds.t2m.isel(latitude=slice(0, 40)).sel(time=slice("2022-06-19", None)).values
    cells = torch.from_numpy(hr.reshape(-1, 1, 10, 4, 12, 4).mean((3, 5)))
    error = interpolate(cells, 4, method=method)[:, 0].numpy() - hr
    assert np.sqrt((error**2).mean()) == pytest.approx(rmse, abs=1e-4)


def tables(tree):
    """Lines on which the names of the interpolations are listed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.List | ast.Set):
            names = {e.value for e in node.elts if isinstance(e, ast.Constant)}
            if set(METHODS) <= names:
                yield node.lineno


def test_the_names_stand_in_one_table():
    """All that offers an interpolation by name reads METHODS; DeepR's words are its own."""
    package = Path(xdeepr.__file__).parent
    paths = [p for p in package.rglob("*.py") if "deepr_compat" not in p.parts]
    found = {str(p.relative_to(package)) for p in paths if any(tables(ast.parse(p.read_text())))}
    assert found == {"tiling/interpolation.py"}
