"""What xdeepr needs of diffusers beyond its documented interface: one function for each.

``tests/sampling/test_diffusers.py`` has a test for each, which says so when diffusers changes.
"""

from __future__ import annotations

import contextlib
from importlib import import_module
from typing import Any

from xdeepr.errors import OptionError
from xdeepr.sampling.keyed_draws import KeyedBrownian, KeyedRandn

_ELSEWHERE = {"ScoreSdeVpScheduler": "diffusers.schedulers.deprecated.scheduling_sde_vp"}
"""Classes that diffusers does not offer at its top."""


def scheduler_class(name: str) -> Any:
    """Return a scheduler class, or say what to install if diffusers lacks it or a package."""
    # not `import diffusers`: the package replaces itself in sys.modules while it is imported, and
    # a thread that waits for another's import statement is given the object that was replaced
    diffusers = import_module("diffusers")
    cls = getattr(diffusers, name, None)
    if cls is None and name in _ELSEWHERE:
        with contextlib.suppress(ImportError):
            cls = getattr(import_module(_ELSEWHERE[name]), name, None)
    if cls is None:
        raise OptionError(
            f"sampler {name}: diffusers {diffusers.__version__} does not have it: install a newer"
            " diffusers, or take another sampler."
        )
    if backends := getattr(cls, "_backends", None):  # diffusers' stand-in for a class it lacks
        raise OptionError(
            f"sampler {name}: diffusers needs a package for it that is not installed:"
            f" pip install {' '.join(b for b in backends if b != 'torch')}."
        )
    return cls


def key_brownian(scheduler: Any, keyed: KeyedRandn) -> None:
    """Put a keyed path in place of the Brownian tree of the DPM-Solver SDE schedulers."""
    if hasattr(scheduler, "noise_sampler"):
        scheduler.noise_sampler = KeyedBrownian(keyed)


def begin_at_the_first_level(scheduler: Any) -> None:
    """Two levels may round to one timestep, and diffusers would begin at the second of them."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)


def step_over(scheduler: Any, timesteps: int) -> None:
    """Let the next step of a scheduler that divides go back by so many timesteps.

    It goes by the quotient of the timesteps in training and the steps, and takes both anew at each
    step; the levels themselves do not depend on them any more.
    """
    scheduler.num_inference_steps = 1
    scheduler.register_to_config(num_train_timesteps=timesteps)


def midpoint(scheduler: Any, index: int) -> float | None:
    """Return the noise level between two steps, where a second-order solver evaluates there."""
    if getattr(scheduler, "state_in_first_order", True):
        return None
    name = type(scheduler).__name__
    if name == "DPMSolverSDEScheduler":
        return float(scheduler.mid_point_sigma)
    if name in ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler"):
        return float(scheduler.sigmas_interpol[index - ("Ancestral" in name)])
    return None  # Heun evaluates at the next level itself


def wuerstchen_signal(scheduler: Any, index: int) -> float:
    """Return the signal's share of the variance in Wuerstchen's scheduler, which lists none."""
    time = scheduler.timesteps[index : index + 1]
    return float(scheduler._alpha_cumprod(time, time.device))
