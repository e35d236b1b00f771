"""The sections of a configuration on models: training, inference, validation; and the whole."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from xdeepr.deepr_compat.configuration.schema_data import DataConfiguration
from xdeepr.deepr_compat.configuration.section import (
    NONE,
    ConfigurationSection,
    Either,
    Fraction,
    Location,
    Names,
    unused,
)
from xdeepr.deepr_compat.untrusted import Count, Flag, Number, Positive, Whole
from xdeepr.errors import OptionError

MODEL = "training_configuration.model_configuration"
PARAMETERS = "training_configuration.training_parameters"
"""Paths of the model's parts and of the parameters, for messages."""

PARTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "diffusion": (("eps_model",), ("scheduler", "trained_obs_model")),
    "end2end": (("neural_network",), ()),
    "autoencoder": (("neural_network",), ()),
    "latent": (("eps_model", "autoencoder"), ("scheduler",)),
}
"""Type -> the parts of `model_configuration` that it needs, and those it may have besides."""

_PICTURES = "no pictures are drawn while training; see validation_configuration.visualizations"
_EMBEDDING = "the width of the embedding follows from the network's"


def _duration(value: Any) -> Any:
    """Check a duration: seconds, or text such as "15min"."""
    from xdeepr.training.settings import seconds  # loads torch

    try:
        seconds("" if isinstance(value, bool) else value)
    except (OptionError, TypeError):
        raise ValueError(
            f"{value!r} is no duration: give seconds, or text such as '15min'"
        ) from None
    return value


def _as_pictures(value: Any) -> Any:
    """Read the older number of pictures; none at all for 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return {"num_samples": value} if value else None


Keywords = Annotated[dict[str, Any], BeforeValidator(lambda value: {} if value is None else value)]
"""Also a heading without anything under it."""

Precision = Annotated[
    Literal["no", "fp16", "bf16"], BeforeValidator(lambda value: "no" if value is False else value)
]
"""Also a bare ``no``, which YAML 1.1 takes for false."""

Edges = Annotated[
    tuple[Count, Count],
    BeforeValidator(lambda edge: edge if isinstance(edge, list | tuple) else [edge, edge]),
]
"""Of a window; one edge is both."""


class NetworkConfiguration(ConfigurationSection):
    """A network by the name of its class, with its keywords or with trained weights."""

    class_name: str
    kwargs: Keywords = Field(default_factory=dict)
    trained_model_dir: Location | None = None
    model_dir: Location | None = None

    trained = Either("trained_model_dir", "model_dir")


class SchedulerConfiguration(ConfigurationSection):
    """A scheduler of diffusers: the noise levels of training and the solver of sampling."""

    class_name: str
    kwargs: Keywords = Field(default_factory=dict)


class ModelConfiguration(ConfigurationSection):
    """The parts of the model; which of them are needed depends on the type."""

    eps_model: NetworkConfiguration | None = None
    neural_network: NetworkConfiguration | None = None
    scheduler: SchedulerConfiguration | None = None
    trained_obs_model: NetworkConfiguration | None = None
    autoencoder: NetworkConfiguration | None = None


class TrainingParameters(ConfigurationSection):
    """How the training runs and where the model goes."""

    # with the same meaning here
    num_epochs: Count | None = None
    batch_size: Count | None = None
    train_batch_size: Count | None = None
    learning_rate: Positive | None = None
    lr_warmup_steps: Whole | None = None
    gradient_accumulation_steps: Count = 1
    mixed_precision: Precision | None = None
    hour_embed_type: Annotated[
        Literal["none", "class", "positional", "timestep", "cyclical"], NONE
    ] = "none"
    instance_norm: Flag = False
    learn_residuals: Flag | None = None
    static_covariables: Names | None = None
    device: str | None = None
    seed: Whole = 0
    output_dir: Annotated[Location, Field(min_length=1)]
    overwrite_output_dir: Flag = False
    push_to_hub: Flag = False
    hf_repo_name: str | None = None
    hub_private_repo: Flag = False

    # keys of DeepR without effect here
    eval_batch_size: Count | None = unused("the validation part has the training's batch size")
    image_size: Any = unused("the size of the fields is that of the data")
    num_workers: Whole | None = unused("the training data are read once and kept in memory")
    num_samples: Whole | None = unused(_PICTURES)
    save_image_epochs: Whole | None = unused(_PICTURES)
    save_model_epochs: Whole | None = unused(
        "the best weights are saved at the end; 'keep: FOLDER' keeps the state of the training, "
        "so that an interrupted run goes on"
    )
    hour_embed_size: Count | None = unused(_EMBEDDING)
    hour_embed_dim: Count | None = unused(_EMBEDDING)

    # xdeepr only
    max_steps: Count | None = None
    max_time: Annotated[Any, BeforeValidator(_duration)] = None
    patience: Count | None = None
    window: Edges | None = None
    time_features: dict[
        Literal["hour", "day_of_year", "local_solar_time", "cos_solar_zenith"],
        Literal["none", "class", "positional", "timestep", "cyclical", "field"],
    ] = Field(default_factory=dict)
    covariate_dropout: Annotated[Number, Field(ge=0, lt=1)] | None = None
    loss: Literal["l2", "l1", "three-term"] | None = None
    keep: Location | None = None
    name: str | None = None

    def _check(self) -> None:
        if "hour" in self.time_features and "hour_embed_type" in self.model_fields_set:
            raise ValueError("hour_embed_type and time_features.hour mean the same: give one")

    batch = Either("batch_size", "train_batch_size")

    def encodings(self) -> dict[str, str]:
        """Return how the network sees each feature of the time."""
        return {"hour": self.hour_embed_type, **{str(k): v for k, v in self.time_features.items()}}


class TrainingConfiguration(ConfigurationSection):
    """A model to train, or a trained one to load."""

    type: Literal["diffusion", "end2end", "autoencoder", "latent"]
    model_configuration: ModelConfiguration
    training_parameters: TrainingParameters | None = None

    def _check(self) -> None:
        if self.trained is not None:
            return
        needed, allowed = PARTS[self.type]
        parts = [n for n in ModelConfiguration.model_fields if self.part(n) is not None]
        for name in needed:
            if name not in parts:
                raise ValueError(f"type {self.type!r} needs model_configuration.{name}")
        for name in parts:
            if name not in needed + allowed:
                raise ValueError(
                    f"model_configuration.{name} has no place in type {self.type!r}, which has"
                    f" {', '.join(needed + allowed)}"
                )
        if self.training_parameters is None:
            raise ValueError(
                "training_parameters is missing: say how to train, or name a trained model with"
                f" model_configuration.{needed[0]}.trained_model_dir"
            )

    @property
    def parameters(self) -> TrainingParameters:
        """The parameters of a model that is to be trained."""
        assert self.training_parameters is not None  # checked when it was read
        return self.training_parameters

    def part(self, name: str) -> Any:
        """Return a part of the model's configuration, or None."""
        return getattr(self.model_configuration, name)

    @property
    def main(self) -> tuple[str, NetworkConfiguration | None]:
        """The key of the network that this type is about, and that network."""
        # DeepR evaluates diffusion models with `neural_network`
        if self.type in ("diffusion", "latent") and self.part("eps_model") is not None:
            return "eps_model", self.part("eps_model")
        return "neural_network", self.part("neural_network")

    @property
    def trained(self) -> str | None:
        """Folder or repository of the trained model, if there is nothing to train."""
        network = self.main[1]
        return None if network is None else network.trained


class Sampling(ConfigurationSection):
    """How a part of the data is downscaled."""

    section_name: ClassVar[str] = ""

    batch_size: Count | None = None
    device: str | None = None
    inference_steps: Count | None = None
    eta: Fraction | None = None
    seed: Whole | None = None
    output_dir: Location | None = None
    output_directory: Location | None = None
    repo_name: str | None = None
    num_samples: Count | None = None

    # xdeepr only
    model: Location | None = None
    members: Count | None = None
    sampler: str | None = None
    split: Literal["train", "validation", "test"] | None = None
    overwrite: Flag = False

    folder = Either("output_dir", "output_directory")
    realizations = Either("members", "num_samples")
    named = Either("model", "repo_name")


class InferenceConfiguration(Sampling):
    """Predictions to be written to files."""

    section_name = "inference_configuration"

    save_freq: Literal["batch", "month", "all"] = "all"
    inference_scaling: dict[str, Any] | None = unused("the model knows how it was normalized")


class SamplePictures(ConfigurationSection):
    """Pictures of single times: input, prediction, truth."""

    num_samples: Count = 10
    num_realizations: Count | None = None


class ScoreMaps(ConfigurationSection):
    """Maps of scores, and scores by the hour of the day."""

    num_batches: Count | None = unused("all times of the split are scored")
    map_plots: Flag = True
    rose_plot: Flag = True


class Visualizations(ConfigurationSection):
    """Pictures to draw of a validation."""

    sample_observation_vs_prediction: SamplePictures | None = None
    sample_observation_versus_prediction: Annotated[
        SamplePictures | None, BeforeValidator(_as_pictures)
    ] = None
    metrics_global_map: ScoreMaps | None = None
    giff_timestep_freq: dict[str, Any] | None = unused("the reverse diffusion is not animated")

    samples = Either("sample_observation_vs_prediction", "sample_observation_versus_prediction")

    @property
    def pictures(self) -> bool:
        """Whether any picture is asked for."""
        maps = self.metrics_global_map
        return self.samples is not None or (maps is not None and (maps.map_plots or maps.rose_plot))


class ValidationData(ConfigurationSection):
    """Whether and where the downscaled fields are kept."""

    to_compute: Flag = True
    to_save: Flag = True
    to_split: Flag | None = unused("prediction, truth and baseline are separate anyway")
    location: Location | None = None


class ValidationConfiguration(Sampling):
    """Scores of the model on the test part, beside a baseline."""

    section_name = "validation_configuration"

    baseline: Annotated[Literal["nearest", "bilinear", "bicubic", "none"], NONE] = "bicubic"
    visualizations: Visualizations = Visualizations()
    validation_data: ValidationData = ValidationData()
    push_to_hub: Flag | None = unused("scores are written to files, and not to the Hub")


class NetcdfPictures(ConfigurationSection):
    """Pictures that DeepR draws of scored files."""

    metrics_global_map: dict[str, Any] | None = unused("score_maps.nc holds the maps of the scores")
    sample_observation_vs_prediction: dict[str, Any] | None = unused(
        "draw them with xdeepr.plotting.plot_downscaling"
    )
    time_series_plot_for_a_single_site: dict[str, Any] | None = unused(
        "draw it with xarray's .sel(method='nearest').plot()"
    )
    boxplot_for_a_single_site: dict[str, Any] | None = unused(
        "draw it with xarray's .sel(method='nearest') and matplotlib"
    )


class FileValidation(ConfigurationSection):
    """Scores of files that hold predictions already, DeepR's section ``validation``."""

    model_name: str = "model"
    baseline_name: str = "baseline"
    model_predictions_location: Location
    baseline_predictions_location: Location | None = None
    observations_location: Location
    validation_dir: Location
    visualization_types: NetcdfPictures | None = None


class Configuration(ConfigurationSection):
    """All sections of a configuration file, by the names they have there."""

    data_configuration: DataConfiguration | None = None
    training_configuration: TrainingConfiguration | None = None
    validation_configuration: ValidationConfiguration | None = None
    inference_configuration: InferenceConfiguration | None = None
    validation: FileValidation | None = None

    def _check(self) -> None:
        if self.training_configuration is not None or self.sampling:
            if self.data_configuration is None:
                raise ValueError("data_configuration is missing: say where the fields are")
        elif self.validation is None:
            raise ValueError(
                "there is nothing to do: give training_configuration, validation_configuration,"
                " inference_configuration or validation"
            )

    @property
    def sampling(self) -> tuple[Sampling, ...]:
        """The sections that use a model, in the order in which they are done."""
        asked = (self.inference_configuration, self.validation_configuration)
        return tuple(section for section in asked if section is not None)
