"""A whole configuration."""

from __future__ import annotations

from pydantic import model_validator

from xdeepr.deepr_compat.configuration.data import DataConfiguration
from xdeepr.deepr_compat.configuration.section import Section, unused_keys
from xdeepr.deepr_compat.configuration.training import TrainingConfiguration
from xdeepr.deepr_compat.configuration.validation import (
    FileValidation,
    InferenceConfiguration,
    ValidationConfiguration,
)


class Configuration(Section):
    """All sections of a configuration file.

    A frozen pydantic model; each section is an attribute of the name it has in the file, or None.
    """

    data_configuration: DataConfiguration | None = None
    training_configuration: TrainingConfiguration | None = None
    validation_configuration: ValidationConfiguration | None = None
    inference_configuration: InferenceConfiguration | None = None
    validation: FileValidation | None = None

    @model_validator(mode="after")
    def _check(self) -> Configuration:
        tasks = (
            self.training_configuration,
            self.validation_configuration,
            self.inference_configuration,
        )
        if any(task is not None for task in tasks):
            if self.data_configuration is None:
                raise ValueError("data_configuration is missing: say where the fields are")
        elif self.validation is None:
            raise ValueError(
                "there is nothing to do: give training_configuration, validation_configuration,"
                " inference_configuration or validation"
            )
        return self

    def notes(self) -> tuple[str, ...]:
        """Say of each key without effect here what is done instead.

        Returns
        -------
        tuple of str
            One line for each key that was written.
        """
        return tuple(unused_keys(self))
