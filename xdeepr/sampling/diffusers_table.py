"""What is known of each scheduler class of diffusers. Plain data: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from xdeepr.sampling.solvers import SolverFacts

Form = Literal[
    "cumulative", "scaled", "exploding", "edm", "flow", "ipndm", "wuerstchen", "sde-ve", "sde-vp"
]
"""How a scheduler keeps its state, alpha · clean + sigma · noise."""


@dataclass(frozen=True)
class Scheduler(SolverFacts):
    """What is known of a diffusers scheduler class.

    Parameters
    ----------
    short : str
        Short name.
    form : Form
        How its state depends on the noise level.
    defaults : mapping
        Constructor keywords that suit physical fields.
    predictions : tuple of str
        Values of ``prediction_type`` that give the same result; empty if it has no such option.
    step_options : tuple of str
        Keywords of its ``step`` that may be given as options.
    divides : bool
        It steps by the quotient of training timesteps and steps: one must divide the other.
    hidden : tuple of str
        Constructor keywords that are not options: their other values do not work.
    **facts
        Those of :class:`~xdeepr.sampling.solvers.SolverFacts`.
    """

    short: str
    form: Form
    defaults: Mapping[str, Any] = field(default_factory=dict)
    predictions: tuple[str, ...] = ()
    step_options: tuple[str, ...] = ()
    divides: bool = False
    hidden: tuple[str, ...] = ()


_DISCRETE = {"num_train_timesteps": 1000, "beta_schedule": "linear"}
_TRAILING = {**_DISCRETE, "timestep_spacing": "trailing"}
# some of these classes have the narrower betas of Stable Diffusion as their own default
_BETAS = {"beta_start": 0.0001, "beta_end": 0.02}
_CLEAN = {"clip_sample": False, "prediction_type": "sample"}
_KARRAS = {**_DISCRETE, "prediction_type": "sample", "use_karras_sigmas": True}
_NOISE = {**_DISCRETE, **_BETAS, "prediction_type": "epsilon", "use_karras_sigmas": True}
_TWO = ("epsilon", "v_prediction")
_THREE = ("epsilon", "sample", "v_prediction")
_FOUR = (*_THREE, "flow_prediction")
_ETA = ("eta", "use_clipped_model_output")
_CHURN = ("s_churn", "s_tmin", "s_tmax", "s_noise")

#: diffusers class -> what is known of it. The defaults do not clip to [-1, 1] and have levels that
#: start at the noisiest one however few they are (Lin et al., 2023, arXiv:2305.08891).
SOLVERS: dict[str, Scheduler] = {
    "EDMDPMSolverMultistepScheduler": Scheduler(
        "dpm++", "edm", draws="option", note="DPM-Solver++ 2M, second order", predictions=_TWO
    ),
    "EDMEulerScheduler": Scheduler("edm-euler", "edm", note="Euler, first order", predictions=_TWO),
    "DDPMScheduler": Scheduler(
        "ddpm",
        "cumulative",
        draws="yes",
        note="ancestral: the reference",
        defaults={**_TRAILING, **_CLEAN},
        predictions=_THREE,
        steps=1000,
    ),
    "DDIMScheduler": Scheduler(
        "ddim",
        "cumulative",
        draws="option",
        note="first order; `eta` adds noise, 0 (none) to 1 (as DDPM)",
        defaults={**_TRAILING, **_CLEAN},
        predictions=_THREE,
        steps=50,
        step_options=_ETA,
        divides=True,
    ),
    "DPMSolverMultistepScheduler": Scheduler(
        "dpm++-multistep",
        "scaled",
        draws="option",
        note="DPM-Solver++ 2M on discrete levels",
        defaults=_KARRAS,
        predictions=_FOUR,
    ),
    "UniPCMultistepScheduler": Scheduler(
        "unipc",
        "scaled",
        note="predictor–corrector, second order",
        defaults=_KARRAS,
        predictions=_FOUR,
    ),
    "LMSDiscreteScheduler": Scheduler(
        "lms",
        "exploding",
        note="linear multistep, fourth order",
        defaults=_KARRAS,
        predictions=_THREE,
        step_options=("order",),
        least=2,
    ),
    "EulerDiscreteScheduler": Scheduler(
        "euler",
        "exploding",
        draws="option",
        note="Euler, first order; `s_churn` adds noise and takes it out again",
        defaults=_KARRAS,
        predictions=_THREE,
        step_options=_CHURN,
        least=2,
    ),
    "EulerAncestralDiscreteScheduler": Scheduler(
        "euler-ancestral",
        "exploding",
        draws="yes",
        note="Euler with fresh noise at each step",
        defaults={**_TRAILING, "prediction_type": "epsilon"},
        predictions=_TWO,
    ),
    "HeunDiscreteScheduler": Scheduler(
        "heun",
        "exploding",
        note="Heun, second order",
        defaults=_NOISE,
        predictions=_THREE,
        steps=20,
        cost="2N − 1",
        least=2,
    ),
    "KDPM2DiscreteScheduler": Scheduler(
        "dpm2",
        "exploding",
        note="DPM-Solver-2, second order",
        defaults=_NOISE,
        predictions=_TWO,
        steps=20,
        cost="2N − 1",
        least=2,
    ),
    "KDPM2AncestralDiscreteScheduler": Scheduler(
        "dpm2-ancestral",
        "exploding",
        draws="yes",
        note="DPM-Solver-2 with fresh noise at each step",
        defaults=_NOISE,
        predictions=_TWO,
        steps=50,
        cost="2N − 1",
        least=3,
    ),
    "DPMSolverSinglestepScheduler": Scheduler(
        "dpm++-singlestep",
        "scaled",
        draws="option",
        note="DPM-Solver++ 2S, second order",
        defaults={**_KARRAS, "lower_order_final": True},
        predictions=_FOUR,
        steps=25,
    ),
    "DPMSolverSDEScheduler": Scheduler(
        "dpm++-sde",
        "exploding",
        draws="yes",
        note="DPM-Solver++ SDE; needs the package torchsde",
        defaults=_NOISE,
        predictions=_TWO,
        steps=20,
        cost="2N − 1",
        step_options=("s_noise",),
        least=2,
    ),
    "CosineDPMSolverMultistepScheduler": Scheduler(
        "dpm++-cosine",
        "edm",
        draws="yes",
        note="DPM-Solver++ 2M SDE on exponential levels; needs the package torchsde",
        predictions=_TWO,
        steps=20,
        least=2,
    ),
    "DEISMultistepScheduler": Scheduler(
        "deis",
        "scaled",
        note="exponential multistep, second order",
        defaults=_KARRAS,
        predictions=_FOUR,
        steps=20,
        least=2,
    ),
    "SASolverScheduler": Scheduler(
        "sa-solver",
        "scaled",
        draws="yes",
        note="stochastic Adams, second order",
        defaults={**_TRAILING, "prediction_type": "sample"},
        predictions=_FOUR,
        steps=20,
    ),
    "PNDMScheduler": Scheduler(
        "pndm",
        "cumulative",
        note="pseudo linear multistep, fourth order; `skip_prk_steps=False` makes it N + 9",
        defaults={
            **_TRAILING,
            "prediction_type": "epsilon",
            "skip_prk_steps": True,
            "set_alpha_to_one": True,
        },
        predictions=("epsilon",),
        steps=20,
        cost="N + 1",
        divides=True,
    ),
    "IPNDMScheduler": Scheduler(
        "ipndm",
        "ipndm",
        note="improved pseudo linear multistep; with few steps the mean is off too",
        steps=50,
        least=2,
        hidden=("trained_betas", "num_train_timesteps"),
    ),
    "TCDScheduler": Scheduler(
        "tcd",
        "cumulative",
        note="as DDIM; its `eta` is for distilled networks and is not offered",
        defaults={**_DISCRETE, **_BETAS, **_CLEAN, "original_inference_steps": 1000},
        predictions=_THREE,
        steps=50,
    ),
    "DDPMParallelScheduler": Scheduler(
        "ddpm-parallel",
        "cumulative",
        draws="yes",
        note="as DDPM",
        defaults={**_TRAILING, **_CLEAN},
        predictions=_THREE,
        steps=1000,
    ),
    "DDIMParallelScheduler": Scheduler(
        "ddim-parallel",
        "cumulative",
        draws="option",
        note="as DDIM",
        defaults={**_TRAILING, **_CLEAN},
        predictions=_THREE,
        steps=50,
        step_options=_ETA,
        divides=True,
    ),
    "CogVideoXDDIMScheduler": Scheduler(
        "ddim-cogvideox",
        "cumulative",
        note="as DDIM; its `snr_shift_scale` moves the levels",
        defaults={**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        predictions=_THREE,
        steps=50,
        divides=True,
    ),
    "CogVideoXDPMScheduler": Scheduler(
        "dpm-cogvideox",
        "cumulative",
        draws="yes",
        note="DPM-Solver++ 2M SDE on DDIM's levels",
        defaults={**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        predictions=_THREE,
        steps=20,
        divides=True,
    ),
    "UnCLIPScheduler": Scheduler(
        "unclip",
        "cumulative",
        draws="yes",
        note="ancestral, cosine levels",
        defaults=_CLEAN,
        predictions=("epsilon", "sample"),
        steps=100,
        least=2,
        hidden=("variance_type", "beta_schedule"),
    ),
    "DDPMWuerstchenScheduler": Scheduler(
        "ddpm-wuerstchen",
        "wuerstchen",
        draws="yes",
        note="ancestral, continuous cosine levels",
        steps=100,
    ),
    "ScoreSdeVeScheduler": Scheduler(
        "sde-ve",
        "sde-ve",
        draws="yes",
        note="reverse SDE, variance exploding, without its corrector",
        steps=200,
        least=2,
    ),
    "ScoreSdeVpScheduler": Scheduler(
        "sde-vp", "sde-vp", draws="yes", note="reverse SDE, variance preserving", steps=200
    ),
    "FlowMatchEulerDiscreteScheduler": Scheduler(
        "flow-euler", "flow", note="Euler along straight paths", steps=50
    ),
    "FlowMatchHeunDiscreteScheduler": Scheduler(
        "flow-heun", "flow", note="Heun along straight paths", steps=10, cost="2N − 1"
    ),
    "FlowMapEulerDiscreteScheduler": Scheduler(
        "flow-map", "flow", note="as FlowMatchEuler", steps=50
    ),
    "LTXEulerAncestralRFScheduler": Scheduler(
        "flow-ancestral",
        "flow",
        draws="yes",
        note="Euler along straight paths with fresh noise",
        steps=100,
    ),
    "MiniMaxH3Scheduler": Scheduler(
        "flow-minimax",
        "flow",
        note="as FlowMatchEuler",
        defaults={"shift": 1.0},
        steps=50,
    ),
}

_CONSISTENCY = (
    "it is for networks distilled into consistency models; with a denoiser that was trained for"
    " expectations its fields have too little variance"
)
_CLASSES = "it works on classes (tokens), not on numbers"
_INVERSE = "it runs from a clean field to noise"

#: diffusers class -> why it is not used
REFUSED: dict[str, str] = {
    "LCMScheduler": _CONSISTENCY,
    "CMStochasticIterativeScheduler": _CONSISTENCY,
    "ConsistencyDecoderScheduler": _CONSISTENCY,
    "FlowMatchLCMScheduler": _CONSISTENCY,
    "SCMScheduler": _CONSISTENCY,
    "PiflowScheduler": "it is for distilled networks that give several fields in one evaluation",
    "AmusedScheduler": _CLASSES,
    "VQDiffusionScheduler": _CLASSES,
    "DiscreteDDIMScheduler": _CLASSES,
    "BlockRefinementScheduler": _CLASSES,
    "EntropyBoundScheduler": _CLASSES,
    "DDIMInverseScheduler": _INVERSE,
    "DPMSolverMultistepInverseScheduler": _INVERSE,
    "RePaintScheduler": "it fills the holes of a masked field and needs that field and its mask",
    "KarrasVeScheduler": (
        "diffusers gives it squared noise levels, so its fields come out nearly without variance"
    ),
    "RFD4ProteinaScheduler": "it is made for proteins and lowers the variance on purpose",
    "HeliosScheduler": "it is made for video whose resolution grows from stage to stage",
    "HeliosDMDScheduler": "it is made for video whose resolution grows from stage to stage",
}

_OBJECT = "an object with a state would be shared by all tasks"
#: option -> values that may be given (none: not at all), and why no other
REFUSED_OPTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "variance_type": (
        (None, "fixed_small", "fixed_small_log", "fixed_large"),
        "the others need a network that predicts a variance, or give no number at all",
    ),
    "stochastic_sampling": ((False,), _CONSISTENCY),
    "invert_sigmas": ((False,), _INVERSE),
    "noise_sampler_seed": ((None,), "the noise follows from seed=, member, time and place"),
    "solver_p": ((None,), _OBJECT),
    "tau_func": ((None,), _OBJECT),
}
