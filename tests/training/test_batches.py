"""Training windows and their order."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
import torch

from xdeepr.errors import MissingValuesError, TrainingError
from xdeepr.training.alignment import align
from xdeepr.training.batches import Draw, window_at
from xdeepr.training.fitting import fit_normalization, make_pairs


@pytest.fixture(scope="module")
def aligned(italy_lr, italy_hr):
    return align(italy_lr, italy_hr)


@pytest.fixture(scope="module")
def pairs(aligned):
    return make_pairs(aligned, np.zeros((0, 40, 48), np.float32), ("hour",)).load()


def test_residual_plus_interpolation_is_the_truth(pairs, italy_lr, italy_hr):
    window = window_at((0, 0), (40, 48))
    residual = pairs.residual(*pairs.fields([3, 7], window), window)[:, 0].numpy()
    base = italy_lr.deepr.downscale("bicubic", like=italy_hr).t2m.isel(time=[3, 7])
    truth = italy_hr.t2m.isel(time=[3, 7])
    np.testing.assert_allclose(
        residual, (truth - base).isel(latitude=slice(None, None, -1)), atol=1e-4
    )


def test_a_window_is_a_cut_of_the_whole(pairs):
    """Interpolation sees beyond the window, so a window does not know that it is one."""
    normalization = fit_normalization(pairs)
    whole = pairs.batch([(5, window_at((0, 0), (40, 48)))], normalization)
    part = pairs.batch([(5, window_at((7, 9), (20, 30)))], normalization)
    torch.testing.assert_close(part.residual, whole.residual[..., 7:27, 9:39], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        part.conditions, whole.conditions[..., 7:27, 9:39], atol=1e-5, rtol=0
    )


def test_order_and_mixture_of_windows(pairs):
    normalization = fit_normalization(pairs)
    places = [(9, window_at((0, 0), (16, 16))), (2, window_at((8, 8), (16, 16))),
              (4, window_at((0, 0), (16, 16)))]  # fmt: skip
    mixed = pairs.batch(places, normalization)
    assert sorted(mixed.times) == [2, 4, 9]
    for time, residual in zip(mixed.times, mixed.residual, strict=True):
        (window,) = [w for t, w in places if t == time]
        alone = pairs.batch([(time, window)], normalization)
        torch.testing.assert_close(residual, alone.residual[0])


def test_normalized_residual_has_unit_scale(pairs):
    normalization = fit_normalization(pairs)
    every = [(t, window_at((0, 0), (40, 48))) for t in range(len(pairs))]
    scaled = pairs.batch(every, normalization).residual
    assert float(scaled.square().mean().sqrt()) == pytest.approx(1, rel=1e-4)


def test_dask_equals_memory(aligned, pairs, monkeypatch):
    from xdeepr.training import batches

    monkeypatch.setattr(batches, "IN_MEMORY_BYTES", 0)
    chunked = aligned.__class__(
        **{**vars(aligned), "lr": aligned.lr.chunk({"time": 5}), "hr": aligned.hr.chunk(7)}
    )
    lazy = make_pairs(chunked, np.zeros((0, 40, 48), np.float32), ("hour",)).load()
    assert isinstance(lazy.hr, da.Array)
    normalization = fit_normalization(lazy)
    expected = fit_normalization(pairs)
    for key, value in expected.items():
        np.testing.assert_allclose(normalization[key].std, value.std, rtol=1e-6)
    places = [(11, window_at((0, 8), (16, 16))), (3, window_at((0, 8), (16, 16)))]
    ours, theirs = lazy.batch(places, expected), pairs.batch(places, expected)
    torch.testing.assert_close(ours.residual, theirs.residual)
    assert ours.times == theirs.times


def test_missing_values_in_lazy_data_are_found_too(aligned, monkeypatch):
    from xdeepr.training import batches

    monkeypatch.setattr(batches, "IN_MEMORY_BYTES", 0)
    hr = aligned.hr.copy()
    hr[4, 0, 3, 3] = np.nan
    broken = aligned.__class__(**{**vars(aligned), "lr": aligned.lr.chunk(), "hr": hr.chunk(7)})
    lazy = make_pairs(broken, np.zeros((0, 40, 48), np.float32), ()).load()
    with pytest.raises(MissingValuesError, match=r"label 't2m'.*2022-05-01.12:00"):
        lazy.fields([4], window_at((0, 0), (40, 48)))


def test_every_time_is_seen_once_an_epoch():
    draw = Draw(seed=3, times=30, domain=(40, 48), window=(40, 48), batch_size=5)
    assert draw.steps_per_epoch == 6
    for epoch in range(3):
        seen = [t for s in range(6) for t, _ in draw.places(6 * epoch + s)]
        assert sorted(seen) == list(range(30))
    assert draw.places(4) == draw.places(4)
    assert draw.places(4) != Draw(4, 30, (40, 48), (40, 48), 5).places(4)


def test_windows_lie_inside_and_vary():
    draw = Draw(seed=0, times=4, domain=(100, 90), window=(32, 24), batch_size=64)
    windows = {w for s in range(5) for _, w in draw.places(s)}
    assert len(windows) > 200
    assert min(w.y.core.start for w in windows) == 0
    assert max(w.y.core.stop for w in windows) == 100
    assert max(w.x.core.stop for w in windows) == 90


def test_nothing_to_train_on():
    with pytest.raises(TrainingError, match="no time left"):
        Draw(0, 0, (8, 8), (8, 8), 1)
