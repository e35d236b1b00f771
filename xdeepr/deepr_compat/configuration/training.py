"""The section ``training_configuration``: which model, and how it is trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from xdeepr.deepr_compat.configuration.section import (
    Count,
    Flag,
    Location,
    Names,
    Number,
    Positive,
    Section,
    Whole,
    unused,
)

PARAMETERS = "training_configuration.training_parameters"
"""Path of the parameters, for messages."""

Kind = Literal["diffusion", "end2end", "autoencoder", "latent"]
HourEmbedding = Literal["none", "class", "positional", "timestep", "cyclical"]
TimeFeature = Literal["hour", "day_of_year", "local_solar_time", "cos_solar_zenith"]
TimeEncoding = Literal["none", "class", "positional", "timestep", "cyclical", "field"]
MixedPrecision = Literal["no", "fp16", "bf16"]

# type -> the parts of model_configuration that it needs, and those it may have besides.
PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "diffusion": (("eps_model",), ("scheduler", "trained_obs_model")),
    "end2end": (("neural_network",), ()),
    "autoencoder": (("neural_network",), ()),
    "latent": (("eps_model", "autoencoder"), ("scheduler",)),
}


def _no_is_text(value: Any) -> Any:
    """Read a bare ``no``, which YAML 1.1 takes for false, as the word."""
    return "no" if value is False else value


def _none_is_text(value: Any) -> Any:
    """Read null and ``None`` as the word "none"."""
    return "none" if value is None else value


def _as_pair(value: Any) -> Any:
    """Read one edge of a window as both."""
    return value if isinstance(value, list | tuple) else [value, value]


def _duration(value: Any) -> Any:
    """Check a duration: seconds, or text such as "15min"."""
    import pandas as pd

    try:
        if isinstance(value, bool):
            raise ValueError
        seconds = pd.Timedelta(value).total_seconds() if isinstance(value, str) else float(value)
    except (ValueError, TypeError):
        seconds = 0.0
    if not seconds > 0:
        raise ValueError(f"{value!r} is no duration: give seconds, or text such as '15min'")
    return value


def _as_keywords(value: Any) -> Any:
    """Read a heading without anything under it as no keywords."""
    return {} if value is None else value


Keywords = Annotated[dict[str, Any], BeforeValidator(_as_keywords)]


class NetworkConfiguration(Section):
    """A network by the name of its class, with its keywords or with trained weights."""

    class_name: str
    kwargs: Keywords = Field(default_factory=dict)
    trained_model_dir: Location | None = None
    model_dir: Location | None = None

    @model_validator(mode="after")
    def _check(self) -> NetworkConfiguration:
        if self.trained_model_dir is not None and self.model_dir is not None:
            raise ValueError("trained_model_dir and model_dir mean the same: give one of them")
        return self

    @property
    def trained(self) -> str | None:
        """Folder or repository of the trained model, under either key."""
        return self.trained_model_dir if self.trained_model_dir is not None else self.model_dir


class SchedulerConfiguration(Section):
    """A scheduler of diffusers: the noise levels of training and the solver of sampling."""

    class_name: str
    kwargs: Keywords = Field(default_factory=dict)


class ModelConfiguration(Section):
    """The parts of the model; which of them are needed depends on the type."""

    eps_model: NetworkConfiguration | None = None
    neural_network: NetworkConfiguration | None = None
    scheduler: SchedulerConfiguration | None = None
    trained_obs_model: NetworkConfiguration | None = None
    autoencoder: NetworkConfiguration | None = None


class TrainingParameters(Section):
    """How the training runs and where the model goes."""

    # with the same meaning here
    num_epochs: Count | None = None
    batch_size: Count | None = None
    train_batch_size: Count | None = None
    learning_rate: Positive | None = None
    lr_warmup_steps: Whole | None = None
    gradient_accumulation_steps: Count = 1
    mixed_precision: Annotated[MixedPrecision, BeforeValidator(_no_is_text)] | None = None
    hour_embed_type: Annotated[HourEmbedding, BeforeValidator(_none_is_text)] = "none"
    instance_norm: Flag = False
    learn_residuals: Flag | None = None
    static_covariables: Names | None = None
    device: str | None = None
    seed: Whole = 0
    output_dir: Location
    overwrite_output_dir: Flag = False
    push_to_hub: Flag = False
    hf_repo_name: str | None = None
    hub_private_repo: Flag = False

    # known to DeepR, without effect here
    eval_batch_size: Count | None = unused(
        "the validation part is done in batches of the training's size"
    )
    image_size: Any = unused("the size of the fields is that of the data")
    num_workers: Whole | None = unused("the training data are read once and kept in memory")
    num_samples: Whole | None = unused(
        "no pictures are drawn while training; see validation_configuration.visualizations"
    )
    save_image_epochs: Whole | None = unused(
        "no pictures are drawn while training; see validation_configuration.visualizations"
    )
    save_model_epochs: Whole | None = unused(
        "the best weights are saved at the end; 'keep: FOLDER' keeps the state of the training, "
        "so that an interrupted run goes on"
    )
    hour_embed_size: Count | None = unused("the width of the embedding follows from the network's")
    hour_embed_dim: Count | None = unused("the width of the embedding follows from the network's")

    # xdeepr only
    max_steps: Count | None = None
    max_time: Annotated[Any, BeforeValidator(_duration)] = None
    patience: Count | None = None
    window: Annotated[tuple[Count, Count], BeforeValidator(_as_pair)] | None = None
    time_features: dict[TimeFeature, TimeEncoding] = Field(default_factory=dict)
    covariate_dropout: Annotated[Number, Field(ge=0, lt=1)] | None = None
    loss: Literal["l2", "l1", "three-term"] | None = None
    keep: Location | None = None
    name: str | None = None

    @model_validator(mode="after")
    def _check(self) -> TrainingParameters:
        if self.batch_size is not None and self.train_batch_size is not None:
            raise ValueError("batch_size and train_batch_size mean the same: give one of them")
        if "hour" in self.time_features and self.given("hour_embed_type"):
            raise ValueError("hour_embed_type and time_features.hour mean the same: give one")
        if self.output_dir == "":
            raise ValueError("output_dir is empty: name the folder for the model")
        return self


class TrainingConfiguration(Section):
    """A model to train, or a trained one to load."""

    type: Kind
    model_configuration: ModelConfiguration
    training_parameters: TrainingParameters | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> TrainingConfiguration:
        if self.trained is not None:
            return self
        needed, allowed = PARTS[self.type]
        parts = [n for n in ModelConfiguration.model_fields if self.part(n) is not None]
        missing = [name for name in needed if name not in parts]
        if missing:
            raise ValueError(f"type {self.type!r} needs model_configuration.{missing[0]}")
        strange = [name for name in parts if name not in needed + allowed]
        if strange:
            raise ValueError(
                f"model_configuration.{strange[0]} has no place in type {self.type!r}, which has"
                f" {', '.join(needed + allowed)}"
            )
        if self.training_parameters is None:
            raise ValueError(
                "training_parameters is missing: say how to train, or name a trained model with"
                f" model_configuration.{needed[0]}.trained_model_dir"
            )
        return self

    def part(self, name: str) -> Any:
        """Return a part of the model's configuration, or None."""
        return getattr(self.model_configuration, name)

    @property
    def main(self) -> tuple[str, NetworkConfiguration | None]:
        """The network that this type is about, and the key it stands under.

        DeepR evaluates diffusion models with `neural_network`.
        """
        if self.type in ("diffusion", "latent") and self.part("eps_model") is not None:
            return "eps_model", self.part("eps_model")
        return "neural_network", self.part("neural_network")

    @property
    def trained(self) -> str | None:
        """Folder or repository of the trained model, if there is nothing to train."""
        network = self.main[1]
        return None if network is None else network.trained
