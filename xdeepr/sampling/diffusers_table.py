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
    """What is known of a diffusers scheduler class."""

    short: str
    form: Form
    # constructor keywords that suit physical fields
    defaults: Mapping[str, Any] = field(default_factory=dict)
    # values of ``prediction_type`` that give the same result; empty if it has no such option
    predictions: tuple[str, ...] = ()
    # keywords of its ``step`` that may be given as options
    step_options: tuple[str, ...] = ()
    # it steps by the quotient of training timesteps and steps: one must divide the other
    divides: bool = False
    # constructor keywords that are not options: their other values do not work
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

# fmt: off
SOLVERS: dict[str, Scheduler] = {
    "EDMDPMSolverMultistepScheduler": Scheduler(
        "dpm++", "edm", draws="option", predictions=_TWO, note="DPM-Solver++ 2M, second order"),
    "EDMEulerScheduler": Scheduler("edm-euler", "edm", predictions=_TWO, note="Euler, first order"),
    "DDPMScheduler": Scheduler(
        "ddpm", "cumulative", draws="yes", steps=1000, predictions=_THREE,
        defaults={**_TRAILING, **_CLEAN}, note="ancestral: the reference"),
    "DDIMScheduler": Scheduler(
        "ddim", "cumulative", draws="option", steps=50, divides=True, predictions=_THREE,
        defaults={**_TRAILING, **_CLEAN}, step_options=_ETA,
        note="first order; `eta` adds noise, 0 (none) to 1 (as DDPM)"),
    "DPMSolverMultistepScheduler": Scheduler(
        "dpm++-multistep", "scaled", draws="option", predictions=_FOUR, defaults=_KARRAS,
        note="DPM-Solver++ 2M on discrete levels"),
    "UniPCMultistepScheduler": Scheduler(
        "unipc", "scaled", predictions=_FOUR, defaults=_KARRAS,
        note="predictor–corrector, second order"),
    "LMSDiscreteScheduler": Scheduler(
        "lms", "exploding", least=2, predictions=_THREE, defaults=_KARRAS, step_options=("order",),
        note="linear multistep, fourth order"),
    "EulerDiscreteScheduler": Scheduler(
        "euler", "exploding", draws="option", least=2, predictions=_THREE, defaults=_KARRAS,
        step_options=_CHURN,
        note="Euler, first order; `s_churn` adds noise and takes it out again"),
    "EulerAncestralDiscreteScheduler": Scheduler(
        "euler-ancestral", "exploding", draws="yes", predictions=_TWO,
        defaults={**_TRAILING, "prediction_type": "epsilon"},
        note="Euler with fresh noise at each step"),
    "HeunDiscreteScheduler": Scheduler(
        "heun", "exploding", steps=20, cost="2N − 1", least=2, predictions=_THREE,
        defaults=_NOISE, note="Heun, second order"),
    "KDPM2DiscreteScheduler": Scheduler(
        "dpm2", "exploding", steps=20, cost="2N − 1", least=2, predictions=_TWO, defaults=_NOISE,
        note="DPM-Solver-2, second order"),
    "KDPM2AncestralDiscreteScheduler": Scheduler(
        "dpm2-ancestral", "exploding", draws="yes", steps=50, cost="2N − 1", least=3,
        predictions=_TWO, defaults=_NOISE, note="DPM-Solver-2 with fresh noise at each step"),
    "DPMSolverSinglestepScheduler": Scheduler(
        "dpm++-singlestep", "scaled", draws="option", steps=25, predictions=_FOUR,
        defaults={**_KARRAS, "lower_order_final": True}, note="DPM-Solver++ 2S, second order"),
    "DPMSolverSDEScheduler": Scheduler(
        "dpm++-sde", "exploding", draws="yes", steps=20, cost="2N − 1", least=2, predictions=_TWO,
        defaults=_NOISE, step_options=("s_noise",),
        note="DPM-Solver++ SDE; needs the package torchsde"),
    "CosineDPMSolverMultistepScheduler": Scheduler(
        "dpm++-cosine", "edm", draws="yes", steps=20, least=2, predictions=_TWO,
        note="DPM-Solver++ 2M SDE on exponential levels; needs the package torchsde"),
    "DEISMultistepScheduler": Scheduler(
        "deis", "scaled", steps=20, least=2, predictions=_FOUR, defaults=_KARRAS,
        note="exponential multistep, second order"),
    "SASolverScheduler": Scheduler(
        "sa-solver", "scaled", draws="yes", steps=20, predictions=_FOUR,
        defaults={**_TRAILING, "prediction_type": "sample"},
        note="stochastic Adams, second order"),
    "PNDMScheduler": Scheduler(
        "pndm", "cumulative", steps=20, cost="N + 1", divides=True, predictions=("epsilon",),
        defaults={**_TRAILING, "prediction_type": "epsilon", "skip_prk_steps": True,
                  "set_alpha_to_one": True},
        note="pseudo linear multistep, fourth order; `skip_prk_steps=False` makes it N + 9"),
    "IPNDMScheduler": Scheduler(
        "ipndm", "ipndm", steps=50, least=2, hidden=("trained_betas", "num_train_timesteps"),
        note="improved pseudo linear multistep; with few steps the mean is off too"),
    "TCDScheduler": Scheduler(
        "tcd", "cumulative", steps=50, predictions=_THREE,
        defaults={**_DISCRETE, **_BETAS, **_CLEAN, "original_inference_steps": 1000},
        note="as DDIM; its `eta` is for distilled networks and is not offered"),
    "DDPMParallelScheduler": Scheduler(
        "ddpm-parallel", "cumulative", draws="yes", steps=1000, predictions=_THREE,
        defaults={**_TRAILING, **_CLEAN}, note="as DDPM"),
    "DDIMParallelScheduler": Scheduler(
        "ddim-parallel", "cumulative", draws="option", steps=50, divides=True, predictions=_THREE,
        defaults={**_TRAILING, **_CLEAN}, step_options=_ETA, note="as DDIM"),
    "CogVideoXDDIMScheduler": Scheduler(
        "ddim-cogvideox", "cumulative", steps=50, divides=True, predictions=_THREE,
        defaults={**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        note="as DDIM; its `snr_shift_scale` moves the levels"),
    "CogVideoXDPMScheduler": Scheduler(
        "dpm-cogvideox", "cumulative", draws="yes", steps=20, divides=True, predictions=_THREE,
        defaults={**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        note="DPM-Solver++ 2M SDE on DDIM's levels"),
    "UnCLIPScheduler": Scheduler(
        "unclip", "cumulative", draws="yes", steps=100, least=2,
        predictions=("epsilon", "sample"), defaults=_CLEAN,
        hidden=("variance_type", "beta_schedule"), note="ancestral, cosine levels"),
    "DDPMWuerstchenScheduler": Scheduler(
        "ddpm-wuerstchen", "wuerstchen", draws="yes", steps=100,
        note="ancestral, continuous cosine levels"),
    "ScoreSdeVeScheduler": Scheduler(
        "sde-ve", "sde-ve", draws="yes", steps=200, least=2,
        note="reverse SDE, variance exploding, without its corrector"),
    "ScoreSdeVpScheduler": Scheduler(
        "sde-vp", "sde-vp", draws="yes", steps=200, note="reverse SDE, variance preserving"),
    "FlowMatchEulerDiscreteScheduler": Scheduler(
        "flow-euler", "flow", steps=50, note="Euler along straight paths"),
    "FlowMatchHeunDiscreteScheduler": Scheduler(
        "flow-heun", "flow", steps=10, cost="2N − 1", note="Heun along straight paths"),
    "FlowMapEulerDiscreteScheduler": Scheduler(
        "flow-map", "flow", steps=50, note="as FlowMatchEuler"),
    "LTXEulerAncestralRFScheduler": Scheduler(
        "flow-ancestral", "flow", draws="yes", steps=100,
        note="Euler along straight paths with fresh noise"),
    "MiniMaxH3Scheduler": Scheduler(
        "flow-minimax", "flow", steps=50, defaults={"shift": 1.0}, note="as FlowMatchEuler"),
}
# fmt: on
"""diffusers class -> what is known of it. The defaults do not clip to [-1, 1] and have levels that
start at the noisiest one however few they are (Lin et al., 2023, arXiv:2305.08891)."""

_CONSISTENCY = (
    "it is for networks distilled into consistency models; with a denoiser that was trained for"
    " expectations its fields have too little variance"
)
_CLASSES = "it works on classes (tokens), not on numbers"
_INVERSE = "it runs from a clean field to noise"

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
"""Class of diffusers -> why it is not used."""

_OBJECT = "an object with a state would be shared by all tasks"
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
"""Option -> values that may be given (none: not at all), and why no other."""
