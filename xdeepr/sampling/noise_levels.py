"""Noise levels: those a denoiser was trained for, and the lists of them that solvers visit.

NumPy only. A noise level sigma is the standard deviation of the noise in
``x = clean + sigma · noise``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xdeepr.checks import one_of, whole_number
from xdeepr.errors import OptionError
from xdeepr.sampling.schedules import DiscreteSchedule, as_schedule

PREDICTIONS = ("edm", "epsilon", "v_prediction", "sample")
"""What a network may have been trained to predict; see :mod:`xdeepr.sampling.denoisers`."""

DISCRETE_PREDICTIONS = PREDICTIONS[1:]
"""Those of networks that know the timesteps of a discrete schedule."""

SPACINGS = ("karras", "trained")
"""How the levels of a list are spaced; see :meth:`NoiseLevels.descending`."""


@dataclass(frozen=True)
class NoiseLevels:
    """Noise levels in training and sampling (Karras et al., 2022, arXiv:2206.00364).

    Parameters
    ----------
    sigma_data : float
        Standard deviation of the clean field.
    log_mean, log_std : float
        Training draws the logarithm of the noise level from this normal distribution.
    sigma_min, sigma_max : float
        Range of noise levels that sampling visits.
    prediction : {"edm", "epsilon", "v_prediction", "sample"}
        What the network's output means. "edm": the preconditioning of Karras et al.; the others
        are those of denoising diffusion on a list of discrete noise levels.
    schedule : mapping
        For the others: keywords of the :class:`~xdeepr.sampling.schedules.DiscreteSchedule` that
        is this list. Then noise levels in training are drawn from it, and `log_mean` and
        `log_std` mean nothing. Schedulers with discrete levels then have these, and so visit its
        very timesteps.
    """

    sigma_data: float = 1.0
    log_mean: float = -0.4
    log_std: float = 1.2
    sigma_min: float = 0.05
    sigma_max: float = 20.0
    prediction: str = "edm"
    schedule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def discrete(self) -> bool:
        """Whether the network knows timesteps, not levels."""
        return one_of("prediction", self.prediction, PREDICTIONS) != "edm"

    def timesteps(self) -> DiscreteSchedule:
        """Return the schedule of a discrete network, checked to suit the prediction."""
        steps = as_schedule(self.schedule)
        if self.prediction == "epsilon" and steps.zero_snr:
            raise OptionError(
                "prediction='epsilon' with rescale_betas_zero_snr=True: of pure noise nothing can"
                " be learned by naming the noise. Use prediction='v_prediction' or 'sample'."
            )
        return steps

    def descending(
        self,
        steps: int,
        *,
        spacing: str = "karras",
        rho: float = 7.0,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
    ) -> list[float]:
        """Return the noise levels that a solver visits: the greatest first, 0 at the end.

        Parameters
        ----------
        steps : int
            Number of steps; there is one level more.
        spacing : {"karras", "trained"}
            "karras": equation 5 of Karras et al., dense at small levels. "trained": those of
            evenly spaced timesteps of the training's discrete schedule, the last one first.
        rho : float, default: 7
            For "karras": how dense.
        sigma_min, sigma_max : float, optional
            For "karras". Default: the model's.

        Raises
        ------
        OptionError
            For levels that do not descend, and for "trained" where there is no schedule.
        """
        whole_number("steps", steps)
        if one_of("spacing", spacing, SPACINGS) == "trained":
            return self._trained(steps)
        low = self.sigma_min if sigma_min is None else sigma_min
        high = self.sigma_max if sigma_max is None else sigma_max
        if not (0 < low < high < np.inf and 0 < rho < np.inf):
            raise OptionError(
                f"sigma_min={low!r}, sigma_max={high!r}, rho={rho!r}: give positive numbers, the"
                " first less than the second."
            )
        # eq. 5: sigma_i = (s_max^(1/rho) + i / (N - 1) (s_min^(1/rho) - s_max^(1/rho)))^rho
        share = np.arange(steps) / max(steps - 1, 1)
        first, last = high ** (1 / rho), low ** (1 / rho)
        return [*map(float, (first + share * (last - first)) ** rho), 0.0]

    def _trained(self, steps: int) -> list[float]:
        """Return the levels of evenly spaced timesteps."""
        if not self.discrete:
            raise OptionError(
                "spacing='trained': the model was trained on continuous noise levels (prediction="
                "'edm') and has no list of them: use spacing='karras'."
            )
        schedule = self.timesteps()
        if steps > len(schedule):
            raise OptionError(
                f"steps={steps}: the model was trained on {len(schedule)} noise levels, so"
                " spacing='trained' has no more steps than that."
            )
        # as "trailing" (Lin et al., 2023, arXiv:2305.08891, table 2): the noisiest is among them
        chosen = np.rint(np.linspace(len(schedule), 0, steps, endpoint=False)).astype(int) - 1
        return [*map(float, schedule.sigmas[chosen]), 0.0]
