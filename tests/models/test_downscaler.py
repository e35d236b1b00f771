"""The model on arrays: denoiser, conditions, blocks."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from xdeepr.inputs.block import BlockInput
from xdeepr.inputs.times import time_inputs
from xdeepr.models.block_task import BlockTask
from xdeepr.models.downscaler import Downscaler, Interpolator
from xdeepr.networks.calling import Conditions
from xdeepr.sampling.samplers import Sampler, SamplingOptions
from xdeepr.testing import assert_same_field
from xdeepr.tiling.geometry import Geometry
from xdeepr.tiling.plan import make_plan


@pytest.fixture
def inputs(small_model, italy_lr) -> BlockInput:
    """Two times of the Italian fields, as a task gets them."""
    part = italy_lr.t2m.isel(time=slice(0, 2)).sortby("latitude")
    return BlockInput(
        part.values[:, None],
        small_model.covariate_arrays["values"],
        time_inputs(part.time, small_model.card.time_features),
        (0, 1, 2),
    )


def geometry(tile=(40, 48), overlap=0) -> Geometry:
    plan = make_plan((40, 48), tile=tile, overlap=overlap)
    return Geometry(plan, 4, (0, 0), (10, 12), (148, 26))


def options(**changes) -> SamplingOptions:
    return SamplingOptions(**{"seed": 1, "sampler": Sampler(steps=2), "batch_size": 4, **changes})


def run(model, inputs, place=None, **changes) -> np.ndarray:
    place = place or geometry()
    ((_, _, block),) = place.plan.blocks()
    return model.downscale_block(BlockTask(inputs, place, block), options(**changes))


def test_shape_and_units(small_model, inputs):
    out = run(small_model, inputs)
    assert out.shape == (3, 2, 1, 40, 48)
    assert out.dtype == np.float32
    base = run(Interpolator("bicubic"), inputs)
    assert base.shape == (1, 2, 1, 40, 48)
    # the residual is of the size of the training residual, in K
    spread = small_model.card.normalization["target"].std.item()
    assert 0.1 * spread < np.abs(out - base).mean() < 10 * spread


def test_members_and_times_are_in_their_places(small_model, inputs):
    from dataclasses import replace

    whole = run(small_model, inputs)
    one = replace(
        inputs,
        lr=inputs.lr[1:],
        times=inputs.times.at([1]),
        realizations=(2,),
    )
    assert_same_field(run(small_model, one)[0, 0], whole[2, 1])
    swapped = replace(inputs, realizations=(2, 0))
    assert_same_field(run(small_model, swapped), whole[[2, 0]])


def test_every_condition_matters(small_model, inputs):
    from dataclasses import replace

    whole, times = run(small_model, inputs), inputs.times
    for changed in (
        replace(inputs, statics=inputs.statics[:, ::-1].copy()),
        replace(inputs, times=replace(times, channels=-times.channels)),
        replace(inputs, times=replace(times, keys=times.keys + 1)),
    ):
        assert np.abs(run(small_model, changed) - whole).max() > 1e-3
    assert np.abs(run(small_model, inputs, seed=2) - whole).max() > 0.1


def test_threads_share_one_model(small_model, inputs):
    """Scheduler state is per call and the keyed noise per thread."""
    place = geometry((24, 24), 8)
    wanted = {seed: run(small_model, inputs, place, seed=seed) for seed in range(4)}
    found: dict[int, np.ndarray] = {}
    stochastic = Sampler("DDPMScheduler", 3)
    apart = run(small_model, inputs, place, sampler=stochastic)
    together: list[np.ndarray] = []

    def work(seed: int) -> None:
        found[seed] = run(small_model, inputs, place, seed=seed)
        together.append(run(small_model, inputs, place, sampler=stochastic))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, field in wanted.items():
        np.testing.assert_array_equal(found[seed], field)
    for field in together:
        np.testing.assert_array_equal(field, apart)


def test_denoiser_limits(small_model):
    """Almost no noise: what goes in comes out. Nothing but noise: the input does not matter."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 1, 40, 48, generator=generator)
    conditions = Conditions(torch.zeros(2, 7, 40, 48))
    second = Conditions(conditions.channels[1:])
    with torch.inference_mode():
        near = small_model.denoise(x, 1e-3, conditions)
        torch.testing.assert_close(near, x, rtol=0, atol=0.02)
        each = small_model.denoise(x, torch.tensor([0.5, 2.0]), conditions)
        torch.testing.assert_close(
            each[1:], small_model.denoise(x[1:], 2.0, second), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("words", ["t2m [K] at 1 × 1°", "0.25 × 0.25°", "×4", "z, lsm", "5 steps"])
def test_repr(words, small_model):
    assert words in repr(small_model)


def test_repr_on_a_projected_grid(wind_model):
    assert "wind_speed [m s-1] at 8000 × 8000 (units of the coordinates)" in repr(wind_model)
    assert "covariates: none" in repr(wind_model)


def test_a_value_outside_the_training_is_warned_of(small_model, inputs):
    from dataclasses import replace

    with pytest.warns(UserWarning, match=r"'t2m' leaves the range of the training.*check units"):
        run(small_model, replace(inputs, lr=inputs.lr - 273.15))


def test_the_network_does_not_train_when_used(small_model):
    assert isinstance(small_model, Downscaler)
    assert not small_model.network.training
    assert small_model.to("cpu") is small_model
