"""Guidance inside blocks: with an exact denoiser, the samples have the exact posterior."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xdeepr.errors import OptionError
from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.times import Times
from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card, Diffusion
from xdeepr.models.downscaler import Downscaler
from xdeepr.networks.calling import Conditions
from xdeepr.normalization import Affine
from xdeepr.sampling.guidance import CellMeans
from xdeepr.sampling.samplers import Sampler, SamplingOptions
from xdeepr.testing import assert_same_field
from xdeepr.testing.gaussian import GaussianTarget
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan

FACTOR, SIZE, TIME = 4, 8, 3600


class Exact(Downscaler):
    """A model of a field that is known: each tile is a draw from the same Gaussian."""

    target = GaussianTarget.smooth(SIZE)

    def denoise(
        self, x: torch.Tensor, sigma: float | torch.Tensor, conditions: Conditions
    ) -> torch.Tensor:
        assert isinstance(sigma, float)
        return self.target.denoiser(x, sigma)


@pytest.fixture
def model(small_model) -> Exact:
    unit = Affine([0.0], [1.0])
    card = replace(
        small_model.card,
        target="field",
        channels=("predictors",),
        covariates=(),
        time_features={},
        training={},
        diffusion=Diffusion(sigma_min=0.01, sigma_max=30.0),
        normalization={"predictors": unit, "target": unit, "covariates": Affine([], [])},
    )
    return Exact(card, torch.nn.Identity())


@pytest.fixture
def means(rng) -> np.ndarray:
    """Means of 4 × 4 cells: 2 × 2 tiles of 2 × 2 cells."""
    return rng.normal(0.6, 0.4, (1, 1, 4, 4)).astype(np.float32)


def run(
    model: Downscaler, term: CellMeans | None, members: range, tiles: int = 1, **changes: float
) -> np.ndarray:
    """The blocks of a square domain of so many tiles, put together."""
    size, cells = SIZE * tiles, SIZE * tiles // FACTOR
    plan = make_plan((size, size), tile=(SIZE, SIZE), overlap=0, block=changes.get("block", size))
    geometry = Geometry(plan, FACTOR, (0, 0), (cells, cells), (0, 0))
    blank, zero = np.zeros((1, 0), np.float32), np.zeros(1, np.int64)
    times = Times(blank, blank, zero, zero + TIME, zero)
    options = SamplingOptions(
        3,
        Sampler("heun-churn", 25, {"s_churn": changes.get("churn", 10.0)}),
        changes.get("batch_size", 64),
        () if term is None else (term,),
    )
    out = np.empty((len(members), 1, 1, size, size), np.float32)
    for _, _, block in plan.blocks():
        y, x = geometry.lr_windows(block)
        lr, statics = np.zeros((1, 1, len(y), len(x)), np.float32), np.zeros((0, *block.shape))
        inputs = BlockInput(lr, statics.astype(np.float32), times, tuple(members))
        task = BlockTask(inputs, geometry, block)
        out[..., block.y.core.slice, block.x.core.slice] = model.downscale_block(task, options)
    return out


@pytest.mark.parametrize("iterations", [0, 4])
def test_the_cell_means_are_the_given_ones(iterations, model, means):
    out = run(model, CellMeans(means, (TIME,), iterations), range(3), tiles=2)
    cells = out.reshape(3, 1, 1, 4, FACTOR, 4, FACTOR).mean((4, 6))
    np.testing.assert_allclose(cells, np.broadcast_to(means, cells.shape), atol=1e-5)


def test_the_members_have_the_exact_posterior(model, means):
    """Mean and covariance of a Gaussian given its block means, drawn through a block."""
    count, term = 1000, CellMeans(means[..., :2, :2], (TIME,), 4)
    out = run(model, term, range(count), churn=0.0, batch_size=count)[:, 0, 0]
    exact = model.target.given_means(FACTOR, torch.from_numpy(means[0, 0, :2, :2]))
    variance = float(exact.covariance.diagonal().max())
    allowed = 6 * variance / np.sqrt(count)  # six standard deviations of an estimated covariance
    difference = np.cov(out.reshape(count, -1).T) - exact.covariance.numpy()
    assert np.abs(difference).max() < allowed
    assert np.abs(out.mean(0) - exact.mean.numpy()).max() < 6 * np.sqrt(variance / count)
    # the target without the means is further away than that
    assert (exact.covariance - model.target.covariance).abs().max() > 2 * allowed


@pytest.mark.parametrize("iterations", [0, 3])
def test_it_does_not_depend_on_batches_blocks_or_members(iterations, model, means):
    term = CellMeans(means, (TIME,), iterations)
    whole = run(model, term, range(3), tiles=2)
    assert_same_field(run(model, term, range(3), tiles=2, batch_size=1), whole)
    assert_same_field(run(model, term, range(3), tiles=2, block=SIZE), whole)
    assert_same_field(run(model, term, range(2, 3), tiles=2), whole[2:])
    assert np.abs(run(model, None, range(3), tiles=2) - whole).max() > 0.1


def test_a_network_gives_its_gradient(small_model, italy_lr):
    """The Jacobian of a real network in an inference-only caller; its weights stay as they are."""
    from xdeepr.inputs.times import time_inputs

    part = italy_lr.t2m.isel(time=slice(0, 2)).sortby("latitude")
    times = time_inputs(part.time, small_model.card.time_features)
    statics = small_model.covariate_arrays["values"]
    plan = make_plan((40, 48), tile=(40, 48), overlap=0)
    geometry = Geometry(plan, 4, (0, 0), (10, 12), (148, 26))
    ((_, _, block),) = plan.blocks()
    task = BlockTask(BlockInput(part.values[:, None], statics, times), geometry, block)
    zero = np.zeros((2, 1, 10, 12), np.float32)
    term = CellMeans(zero, tuple(map(int, times.keys)), 2)
    options = SamplingOptions(1, Sampler(steps=2), 4, (term,))
    before = [p.grad for p in small_model.network.parameters()]
    guided = small_model.downscale_block(task, options)
    with torch.inference_mode():
        np.testing.assert_array_equal(small_model.downscale_block(task, options), guided)
    free = small_model.downscale_block(task, replace(options, guidance=()))
    assert np.isfinite(guided).all()
    assert np.abs(guided - free).max() > 1e-3
    after = [p.grad for p in small_model.network.parameters()]
    assert all(ours is theirs for ours, theirs in zip(after, before, strict=True))


def test_what_draws_nothing_cannot_be_guided(model, means):
    regression = Exact(replace(model.card, kind="regression"), model.network)
    with pytest.raises(OptionError, match=r"is a regression and draws nothing"):
        run(regression, CellMeans(means, (TIME,)), range(1))


def test_history_states_it(model, means):
    from xdeepr.downscaling.model_source import Model, Source
    from xdeepr.downscaling.verb import _provenance

    card: Card = model.card
    known = (np.zeros(1), np.zeros(1))
    source = Model(
        Source("tiny", "abc"), "tiny", card.predictors, card.predictands, 4, (0, 0, 0, 0),
        known, card,
    )  # fmt: skip
    options = SamplingOptions(3, Sampler(steps=5), 1, (CellMeans(means, (TIME,), 2),))
    assert _provenance(source, options, 7)["history"].endswith(
        "seed 3, 7 realization(s), EDMDPMSolverMultistepScheduler steps=5, guided by given LR-cell"
        " means in 2 conjugate-gradient steps"
    )
