"""What is known of each scheduler class of diffusers. Plain data: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Form = Literal[
    "cumulative", "scaled", "exploding", "edm", "flow", "ipndm", "wuerstchen", "sde-ve", "sde-vp"
]
"""How a scheduler keeps its state, alpha · clean + sigma · noise."""


@dataclass(frozen=True)
class Solver:
    """What is known of a diffusers scheduler class.

    Parameters
    ----------
    short : str
        Short name.
    form : Form
        How its state depends on the noise level.
    draws : {"no", "yes", "option"}
        Whether it draws noise on the way; "option": if one of its options says so.
    note : str
        For the table of :doc:`/howto/samplers`.
    defaults : mapping
        Constructor keywords that suit physical fields.
    predictions : tuple of str
        Values of ``prediction_type`` that give the same result; empty if it has no such option.
    steps : int
        Default number of steps.
    cost : {"N", "N + 1", "2N − 1"}
        Network evaluations for N steps.
    step_options : tuple of str
        Keywords of its ``step`` that may be given as options.
    divides : bool
        It steps by the quotient of training timesteps and steps: one must divide the other.
    least : int
        Fewest steps.
    hidden : tuple of str
        Constructor keywords that are not options: their other values do not work.
    """

    short: str
    form: Form
    draws: Literal["no", "yes", "option"]
    note: str
    defaults: Mapping[str, Any] = field(default_factory=dict)
    predictions: tuple[str, ...] = ()
    steps: int = 10
    cost: Literal["N", "N + 1", "2N − 1"] = "N"
    step_options: tuple[str, ...] = ()
    divides: bool = False
    least: int = 1
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
SOLVERS: dict[str, Solver] = {
    "EDMDPMSolverMultistepScheduler": Solver(
        "dpm++", "edm", "option", "DPM-Solver++ 2M, second order", predictions=_TWO
    ),
    "EDMEulerScheduler": Solver("edm-euler", "edm", "no", "Euler, first order", predictions=_TWO),
    "DDPMScheduler": Solver(
        "ddpm",
        "cumulative",
        "yes",
        "ancestral: the reference",
        {**_TRAILING, **_CLEAN},
        _THREE,
        1000,
    ),
    "DDIMScheduler": Solver(
        "ddim",
        "cumulative",
        "option",
        "first order; `eta` adds noise, 0 (none) to 1 (as DDPM)",
        {**_TRAILING, **_CLEAN},
        _THREE,
        50,
        step_options=_ETA,
        divides=True,
    ),
    "DPMSolverMultistepScheduler": Solver(
        "dpm++-multistep", "scaled", "option", "DPM-Solver++ 2M on discrete levels", _KARRAS, _FOUR
    ),
    "UniPCMultistepScheduler": Solver(
        "unipc", "scaled", "no", "predictor–corrector, second order", _KARRAS, _FOUR
    ),
    "LMSDiscreteScheduler": Solver(
        "lms",
        "exploding",
        "no",
        "linear multistep, fourth order",
        _KARRAS,
        _THREE,
        step_options=("order",),
        least=2,
    ),
    "EulerDiscreteScheduler": Solver(
        "euler",
        "exploding",
        "option",
        "Euler, first order; `s_churn` adds noise and takes it out again",
        _KARRAS,
        _THREE,
        step_options=_CHURN,
        least=2,
    ),
    "EulerAncestralDiscreteScheduler": Solver(
        "euler-ancestral",
        "exploding",
        "yes",
        "Euler with fresh noise at each step",
        {**_TRAILING, "prediction_type": "epsilon"},
        _TWO,
    ),
    "HeunDiscreteScheduler": Solver(
        "heun", "exploding", "no", "Heun, second order", _NOISE, _THREE, 20, "2N − 1", least=2
    ),
    "KDPM2DiscreteScheduler": Solver(
        "dpm2", "exploding", "no", "DPM-Solver-2, second order", _NOISE, _TWO, 20, "2N − 1", least=2
    ),
    "KDPM2AncestralDiscreteScheduler": Solver(
        "dpm2-ancestral",
        "exploding",
        "yes",
        "DPM-Solver-2 with fresh noise at each step",
        _NOISE,
        _TWO,
        50,
        "2N − 1",
        least=3,
    ),
    "DPMSolverSinglestepScheduler": Solver(
        "dpm++-singlestep",
        "scaled",
        "option",
        "DPM-Solver++ 2S, second order",
        {**_KARRAS, "lower_order_final": True},
        _FOUR,
        25,
    ),
    "DPMSolverSDEScheduler": Solver(
        "dpm++-sde",
        "exploding",
        "yes",
        "DPM-Solver++ SDE; needs the package torchsde",
        _NOISE,
        _TWO,
        20,
        "2N − 1",
        ("s_noise",),
        least=2,
    ),
    "CosineDPMSolverMultistepScheduler": Solver(
        "dpm++-cosine",
        "edm",
        "yes",
        "DPM-Solver++ 2M SDE on exponential levels; needs the package torchsde",
        predictions=_TWO,
        steps=20,
        least=2,
    ),
    "DEISMultistepScheduler": Solver(
        "deis", "scaled", "no", "exponential multistep, second order", _KARRAS, _FOUR, 20, least=2
    ),
    "SASolverScheduler": Solver(
        "sa-solver",
        "scaled",
        "yes",
        "stochastic Adams, second order",
        {**_TRAILING, "prediction_type": "sample"},
        _FOUR,
        20,
    ),
    "PNDMScheduler": Solver(
        "pndm",
        "cumulative",
        "no",
        "pseudo linear multistep, fourth order; `skip_prk_steps=False` makes it N + 9",
        {
            **_TRAILING,
            "prediction_type": "epsilon",
            "skip_prk_steps": True,
            "set_alpha_to_one": True,
        },
        ("epsilon",),
        20,
        "N + 1",
        divides=True,
    ),
    "IPNDMScheduler": Solver(
        "ipndm",
        "ipndm",
        "no",
        "improved pseudo linear multistep; with few steps the mean is off too",
        steps=50,
        least=2,
        hidden=("trained_betas", "num_train_timesteps"),
    ),
    "TCDScheduler": Solver(
        "tcd",
        "cumulative",
        "no",
        "as DDIM; its `eta` is for distilled networks and is not offered",
        {**_DISCRETE, **_BETAS, **_CLEAN, "original_inference_steps": 1000},
        _THREE,
        50,
    ),
    "DDPMParallelScheduler": Solver(
        "ddpm-parallel",
        "cumulative",
        "yes",
        "as DDPM",
        {**_TRAILING, **_CLEAN},
        _THREE,
        1000,
    ),
    "DDIMParallelScheduler": Solver(
        "ddim-parallel",
        "cumulative",
        "option",
        "as DDIM",
        {**_TRAILING, **_CLEAN},
        _THREE,
        50,
        step_options=_ETA,
        divides=True,
    ),
    "CogVideoXDDIMScheduler": Solver(
        "ddim-cogvideox",
        "cumulative",
        "no",
        "as DDIM; its `snr_shift_scale` moves the levels",
        {**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        _THREE,
        50,
        divides=True,
    ),
    "CogVideoXDPMScheduler": Solver(
        "dpm-cogvideox",
        "cumulative",
        "yes",
        "DPM-Solver++ 2M SDE on DDIM's levels",
        {**_TRAILING, **_BETAS, **_CLEAN, "snr_shift_scale": 1.0},
        _THREE,
        20,
        divides=True,
    ),
    "UnCLIPScheduler": Solver(
        "unclip",
        "cumulative",
        "yes",
        "ancestral, cosine levels",
        _CLEAN,
        ("epsilon", "sample"),
        100,
        least=2,
        hidden=("variance_type", "beta_schedule"),
    ),
    "DDPMWuerstchenScheduler": Solver(
        "ddpm-wuerstchen", "wuerstchen", "yes", "ancestral, continuous cosine levels", steps=100
    ),
    "ScoreSdeVeScheduler": Solver(
        "sde-ve",
        "sde-ve",
        "yes",
        "reverse SDE, variance exploding, without its corrector",
        steps=200,
        least=2,
    ),
    "ScoreSdeVpScheduler": Solver(
        "sde-vp", "sde-vp", "yes", "reverse SDE, variance preserving", steps=200
    ),
    "FlowMatchEulerDiscreteScheduler": Solver(
        "flow-euler", "flow", "no", "Euler along straight paths", steps=50
    ),
    "FlowMatchHeunDiscreteScheduler": Solver(
        "flow-heun", "flow", "no", "Heun along straight paths", steps=10, cost="2N − 1"
    ),
    "FlowMapEulerDiscreteScheduler": Solver(
        "flow-map", "flow", "no", "as FlowMatchEuler", steps=50
    ),
    "LTXEulerAncestralRFScheduler": Solver(
        "flow-ancestral", "flow", "yes", "Euler along straight paths with fresh noise", steps=100
    ),
    "MiniMaxH3Scheduler": Solver(
        "flow-minimax", "flow", "no", "as FlowMatchEuler", {"shift": 1.0}, steps=50
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
    "thresholding": (
        (False,),
        "it scales by a quantile of the whole field, so a tile would not be a cut of the domain",
    ),
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
