"""A plain loop over diffusers' own objects, with the noise that xdeepr draws."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from tests.deepr_compat.checkpoints.folders import FACTOR, HR_SHAPE, north_first
from xdeepr.grids import grid_of
from xdeepr.sampling.keyed_draws import KeyedRandn
from xdeepr.sampling.noise import NoiseKey, white_noise

FACTS = {
    "factor": FACTOR,
    "predictors": {"t2m": {"units": "K", "standard_name": "air_temperature"}},
    "hour": "class",
    "target": "field",
    "normalization": "instance",
}


def noise_of(ds, stream):
    """The noise that xdeepr draws for each time, northernmost row first."""
    hr = grid_of(ds).refine(FACTOR).crop((8, 8, 8, 8))
    keys = ds.time.values.astype("datetime64[s]").astype(int)
    fields = [
        white_noise(NoiseKey(7, 0, int(key), 0, stream), hr.origin(), HR_SHAPE, period=hr.period)
        for key in keys
    ]
    return torch.from_numpy(np.stack(fields)[:, None]).flip(-2)


def plain_loop(ds, network, scheduler, *, steps, labels, instance=True, residual=False, **options):
    """What DeepR's pipeline does, in its own order of rows.

    One thing is set right: DeepR scales the condition like the noisy field, where a scheduler
    wants that (Euler, Heun, LMS), and its networks were not trained so.

    The deviation is that of the population here, DeepR's has n - 1: for its 160 × 240 cells they
    differ by 1.3e-5.
    """
    condition = functional.interpolate(north_first(ds), scale_factor=FACTOR, mode="bicubic")
    condition = condition[..., 8:-8, 8:-8]
    mean, spread = torch.zeros(()), torch.ones(())
    if instance:
        mean = condition.mean((1, 2, 3), keepdim=True)
        spread = condition.std((1, 2, 3), keepdim=True, correction=0)
    condition = (condition - mean) / spread
    scheduler.set_timesteps(steps)
    latents = noise_of(ds, 0) * scheduler.init_noise_sigma
    keyed = KeyedRandn(lambda stream: noise_of(ds, stream))
    with torch.no_grad():
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(latents, t)
            output = network(torch.cat([scaled, condition], 1), t, class_labels=labels).sample
            with keyed:
                latents = scheduler.step(output, t, latents, **options).prev_sample
    latents = latents + condition if residual else latents
    return (latents * spread + mean)[:, 0].numpy()


def hours(ds):
    return torch.from_numpy(ds.time.dt.hour.values)


def assert_same(out, wanted, *, tolerance=1e-4):
    """Equal to float precision of fields that differ from each other: of their deviation."""
    spread = float(wanted.std())
    assert spread > 0.5
    np.testing.assert_allclose(out.t2m, wanted, atol=tolerance * spread)
