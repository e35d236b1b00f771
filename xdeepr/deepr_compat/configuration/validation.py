"""The sections that use a model: inference, validation, and scores of files."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from xdeepr.deepr_compat.configuration.section import (
    Count,
    Flag,
    Location,
    Number,
    Section,
    Whole,
    unused,
)

Split = Literal["train", "validation", "test"]
SaveFrequency = Literal["batch", "month", "all"]
Baseline = Literal["nearest", "bilinear", "bicubic", "none"]


def _none_is_text(value: Any) -> Any:
    """Read null as the word "none"."""
    return "none" if value is None else value


class Sampling(Section):
    """How a part of the data is downscaled."""

    section_name: ClassVar[str] = ""

    batch_size: Count | None = None
    device: str | None = None
    inference_steps: Count | None = None
    eta: Annotated[Number, Field(ge=0, le=1)] | None = None
    seed: Whole | None = None
    output_dir: Location | None = None
    output_directory: Location | None = None
    repo_name: str | None = None

    num_samples: Count | None = None

    # xdeepr only
    model: Location | None = None
    members: Count | None = None
    sampler: str | None = None
    split: Split | None = None
    overwrite: Flag = False

    @model_validator(mode="after")
    def _check_spellings(self) -> Sampling:
        for one, other in (("output_dir", "output_directory"), ("members", "num_samples")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{one} and {other} mean the same: give one of them")
        return self

    @property
    def folder(self) -> str | None:
        """Where the results go, under either key."""
        return self.output_dir if self.output_dir is not None else self.output_directory

    @property
    def realizations(self) -> int | None:
        """Number of realizations, under either key."""
        return self.members if self.members is not None else self.num_samples


class InferenceScaling(Section):
    """Names of the scalings that DeepR writes into its files."""

    input: str | None = None
    output: str | None = None


class InferenceConfiguration(Sampling):
    """Predictions to be written to files."""

    section_name = "inference_configuration"

    save_freq: SaveFrequency = "all"
    inference_scaling: InferenceScaling | None = unused("the model knows how it was normalized")


class SamplePictures(Section):
    """Pictures of single times: input, prediction, truth."""

    num_samples: Count = 10
    num_realizations: Count | None = None


class ScoreMaps(Section):
    """Maps of scores, and scores by the hour of the day."""

    num_batches: Count | None = unused("all times of the split are scored")
    map_plots: Flag = True
    rose_plot: Flag = True


class Animation(Section):
    """A moving picture of the reverse diffusion."""

    fps: Number | None = None
    freq_timesteps: Count | None = None


def _as_pictures(value: Any) -> Any:
    """Read the older number of pictures; none at all for 0."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return {"num_samples": value} if value else None


class Visualizations(Section):
    """Pictures to draw of a validation."""

    sample_observation_vs_prediction: SamplePictures | None = None
    sample_observation_versus_prediction: Annotated[
        SamplePictures | None, BeforeValidator(_as_pictures)
    ] = None
    metrics_global_map: ScoreMaps | None = None
    giff_timestep_freq: Animation | None = unused("no animation of the reverse diffusion is made")

    @property
    def samples(self) -> SamplePictures | None:
        """Pictures of single times, under the new or the old key."""
        if self.sample_observation_vs_prediction is not None:
            return self.sample_observation_vs_prediction
        return self.sample_observation_versus_prediction


class ValidationData(Section):
    """Whether and where the downscaled fields are kept."""

    to_compute: Flag = True
    to_save: Flag = True
    to_split: Flag | None = unused("prediction, truth and baseline are separate anyway")
    location: Location | None = None


class ValidationConfiguration(Sampling):
    """Scores of the model on the test part, beside a baseline."""

    section_name = "validation_configuration"

    baseline: Annotated[Baseline, BeforeValidator(_none_is_text)] = "bicubic"
    visualizations: Visualizations = Visualizations()
    validation_data: ValidationData = ValidationData()
    push_to_hub: Flag | None = unused("scores are written to files, and not to the Hub")


class NetcdfPictures(Section):
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


class FileValidation(Section):
    """Scores of files that hold predictions already, DeepR's section ``validation``."""

    model_name: str = "model"
    baseline_name: str = "baseline"
    model_predictions_location: Location
    baseline_predictions_location: Location | None = None
    observations_location: Location
    validation_dir: Location
    visualization_types: NetcdfPictures | None = None
