"""Guidance terms against the exact answer: a Gaussian target given its block means."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from dask.base import tokenize
from hypothesis import given
from hypothesis import strategies as st

from xdeepr.errors import OptionError
from xdeepr.sampling.guidance import CellMeans, Tile, conjugate_gradient, guided, quietly
from xdeepr.sampling.samplers import Sampler, SamplingOptions
from xdeepr.testing import check_guidance
from xdeepr.testing.gaussian import GaussianTarget, keyed_noise, whole_tile
from xdeepr.tiling.plan import Span

FACTOR, SIZE = 4, 8
CELLS = (SIZE // FACTOR) ** 2


@pytest.fixture
def means(rng) -> np.ndarray:
    """Means of the four cells at time 0, off those of the targets: (time, V, y, x)."""
    return rng.normal(0.5, 0.4, (1, 1, 2, 2)).astype(np.float32)


@pytest.fixture
def smooth() -> GaussianTarget:
    return GaussianTarget.smooth(SIZE)


@pytest.fixture
def white() -> GaussianTarget:
    """Independent pixels: here the nearest field that obeys is the expected one."""
    return GaussianTarget(
        torch.full((SIZE, SIZE), 0.3).double(), 0.25 * torch.eye(SIZE**2).double()
    )


@pytest.mark.parametrize("sigma", [20.0, 1.0, 0.05])
@pytest.mark.parametrize(("kind", "iterations"), [("white", 0), ("white", 1), ("smooth", CELLS)])
def test_given_means_make_the_exact_conditional_estimate(kind, iterations, sigma, means, request):
    target = request.getfixturevalue(kind)
    x = target.mean + sigma * keyed_noise(0, members=range(3), shape=(SIZE, SIZE)).double()
    term = CellMeans(means, (0,), iterations)
    tiles = [whole_tile(target, FACTOR, realization=n) for n in range(3)]
    estimate = guided(lambda noisy: target.denoiser(noisy, sigma), x, sigma, (term,), tiles)
    exact = target.given_means(FACTOR, torch.from_numpy(means[0, 0])).denoiser(x, sigma)
    torch.testing.assert_close(estimate, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("iterations", [0, 2, CELLS])
def test_given_means_conform(iterations, smooth, means):
    tiles = [whole_tile(smooth, FACTOR, realization=n) for n in range(3)]
    check_guidance(CellMeans(means, (0,), iterations), tiles, smooth)


def test_terms_act_in_their_order(smooth, means):
    """What has to hold exactly comes last."""
    first, last = CellMeans(means, (0,)), CellMeans(means + 1, (0,))
    x = keyed_noise(0, shape=(SIZE, SIZE))
    out = guided(lambda x: 0 * x, x, 1.0, (first, last), [whole_tile(smooth, FACTOR)])
    pooled = torch.nn.functional.avg_pool2d(out[0], FACTOR)
    torch.testing.assert_close(pooled, torch.from_numpy(means[0] + 1))


@given(
    start=st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    size=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    margin=st.tuples(st.integers(0, 9), st.integers(0, 9)),
    factor=st.integers(2, 8),
)
def test_whole_cells_are_those_inside(start, size, margin, factor):
    y, x = (Span(a, a + n) for a, n in zip(start, size, strict=True))
    cells, pixels = Tile(y, x, 0, 0, factor, margin).whole_cells()
    for span, cell, pixel, offset in zip((y, x), cells, pixels, margin, strict=True):
        inside = [
            c for c in range(-40, 40)
            if span.start <= c * factor - offset and (c + 1) * factor - offset <= span.stop
        ]  # fmt: skip
        assert list(range(cell.start, cell.stop)) == inside
        assert pixel.stop - pixel.start == len(inside) * factor
        if inside:
            assert span.start + pixel.start == inside[0] * factor - offset
            assert 0 <= pixel.start <= pixel.stop <= len(span)


def test_cells_cut_by_the_edge_of_a_tile_are_left_alone(means):
    tile = Tile(Span(2, 8), Span(0, 8), 0, 0, FACTOR)
    x = torch.zeros(1, 1, 6, 8)
    out = guided(lambda x: x, x, 1.0, (CellMeans(means, (0,)),), [tile])
    assert (out[0, 0, :2] == 0).all()
    pooled = torch.nn.functional.avg_pool2d(out[0, :, 2:], FACTOR)
    torch.testing.assert_close(pooled, torch.from_numpy(means[0, :, 1:]))


def test_columns_count_round_the_globe(means):
    """A tile across the seam sees the cells of both sides; one too small for a cell sees none."""
    tiles = [Tile(Span(0, 8), Span(4, 12), 0, 0, FACTOR)]
    out = guided(lambda x: x, torch.zeros(1, 1, 8, 8), 1.0, (CellMeans(means, (0,)),), tiles)
    pooled = torch.nn.functional.avg_pool2d(out[0], FACTOR)
    torch.testing.assert_close(pooled, torch.from_numpy(means[0, :, :, ::-1].copy()))
    small = [Tile(Span(1, 4), Span(1, 4), 0, 0, FACTOR)]
    x = torch.ones(1, 1, 3, 3)
    for iterations in (0, 2):
        term = CellMeans(means, (0,), iterations)
        assert torch.equal(guided(lambda x: x, x, 1.0, (term,), small), x)


def test_conjugate_gradients_solve_each_entry(rng):
    """In as many steps as there are unknowns, and further steps do no harm."""
    roots = torch.from_numpy(rng.normal(size=(4, 6, 6)))
    matrices = roots @ roots.mT + torch.eye(6)
    right = torch.from_numpy(rng.normal(size=(4, 6)))
    right[2] = 0
    for steps in (6, 60):
        found = conjugate_gradient(lambda v: (matrices @ v[..., None])[..., 0], right, steps)
        torch.testing.assert_close(found, torch.linalg.solve(matrices, right), rtol=0, atol=1e-8)


@dataclass(frozen=True)
class Spy:
    """A term that does nothing but look at torch's mode."""

    needs_gradient: bool

    def describe(self) -> str:
        return "a spy"

    def on(self, tiles):
        return self.correction

    def correction(self, x, sigma, clean):
        assert clean.requires_grad == x.requires_grad == self.needs_gradient
        assert torch.is_inference_mode_enabled() != self.needs_gradient
        return torch.ones_like(clean)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("asks", [False, True])
def test_gradients_only_where_one_asks_for_them(mode, asks, smooth):
    """Whatever the caller's mode is."""
    spies = (Spy(asks),)
    with mode(), quietly(spies):
        x = torch.zeros(1, 1, SIZE, SIZE)
        out = guided(lambda x: 2 * x, x, 1.0, spies, [whole_tile(smooth, FACTOR)])
    assert not out.requires_grad
    assert (out == 1).all()


def test_the_check_sees_what_is_wrong(smooth):
    tiles = [whole_tile(smooth, FACTOR, realization=n) for n in range(3)]

    @dataclass(frozen=True)
    class Wrong(Spy):
        act: object = None

        def correction(self, x, sigma, clean):
            return self.act(x, sigma, clean)

    for act, message in (
        (lambda x, s, c: c.mean() + 0 * c, "other tiles"),
        (lambda x, s, c: c / 0, "not finite"),
        (lambda x, s, c: torch.randn_like(c), "other tiles|earlier calls"),
        (lambda x, s, c: c[:, :, None], "shape"),
    ):
        with pytest.raises(AssertionError, match=message):
            check_guidance(Wrong(False, act), tiles, smooth)


def test_options_state_their_terms_and_travel(means):
    term = CellMeans(means, (0,), 3)
    options = SamplingOptions(1, Sampler(steps=4), 8, (term, CellMeans(means, (0,))))
    assert options.describe() == (
        "EDMDPMSolverMultistepScheduler steps=4, guided by given LR-cell means in 3"
        " conjugate-gradient steps, guided by given LR-cell means"
    )
    again = pickle.loads(pickle.dumps(options))
    assert tokenize(again) == tokenize(options)
    other = SamplingOptions(1, Sampler(steps=4), 8, (CellMeans(means + 1, (0,), 3),))
    assert tokenize(other) != tokenize(options)


def test_errors_name_the_cure(means, smooth):
    tile = whole_tile(smooth, FACTOR)
    with pytest.raises(OptionError, match="none for the time 0"):
        CellMeans(means, (7,)).on([tile])
    with pytest.raises(OptionError, match="latent space"):
        CellMeans(means, (0,)).on([Tile(tile.y, tile.x, 0, 0, FACTOR, scale=4)])
    with pytest.raises(OptionError, match="for 2 times"):
        CellMeans(means, (0, 1))
    with pytest.raises(OptionError, match="iterations=-1"):
        CellMeans(means, (0,), -1)
