"""The section ``data_configuration``: which fields, where, and when."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from xdeepr.deepr_compat.configuration.section import (
    ConfigurationSection,
    Either,
    Fraction,
    Location,
    Names,
    unused,
)
from xdeepr.deepr_compat.untrusted import Flag, Number

STATICS = ("lsm-low", "orog-low", "lsm-high", "orog-high")
"""Static fields by their keys in `add_auxiliary`: land–sea mask and orography, coarse and fine."""

SPLITS = ("train", "validation", "test")

_OLD_ALIASES = {
    **{"M": "MS", "ME": "MS", "Q": "QS", "QE": "QS", "A": "YS", "Y": "YS", "YE": "YS", "AS": "YS"},
    **{"H": "h", "T": "min"},
}
"""Names of frequencies that pandas has given up, or that mean the end of what is meant here."""


def _as_time(value: Any) -> Any:
    """Read a year, a month or a day as text; YAML makes numbers and dates of some of them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value.isoformat() if isinstance(value, datetime.date) else value


class Standardization(ConfigurationSection):
    """How fields are normalized before a network sees them."""

    to_do: Flag = True
    method: Literal["domain-wise", "pixel-wise", "landmask-wise"] = "domain-wise"
    by_month: Flag = True
    cache_folder: str | None = unused(
        "mean and standard deviation are fitted to the training part and kept with the model"
    )


class Coverage(ConfigurationSection):
    """A box of longitudes and latitudes in degrees; each pair in any order."""

    longitude: tuple[Number, Number]
    latitude: tuple[Number, Number]

    def _check(self) -> None:
        if not all(-90 <= value <= 90 for value in self.latitude):
            raise ValueError(f"latitude {list(self.latitude)}: give degrees from -90 to 90")
        if max(self.longitude) - min(self.longitude) > 360:
            raise ValueError(f"longitude {list(self.longitude)}: give a range of at most 360")


class AddAuxiliary(ConfigurationSection):
    """Conditions of the network besides the coarse fields."""

    time: Flag = False
    lsm_low: Flag = Field(default=False, alias="lsm-low")
    orog_low: Flag = Field(default=False, alias="orog-low")
    lsm_high: Flag = Field(default=False, alias="lsm-high")
    orog_high: Flag = Field(default=False, alias="orog-high")

    def statics(self) -> tuple[str, ...]:
        """Return the static fields asked for, as in :data:`STATICS`."""
        return tuple(name for name in STATICS if getattr(self, name.replace("-", "_")))


class FieldsConfiguration(ConfigurationSection):
    """The keys that `features_configuration` and `label_configuration` share."""

    data_name: str | None = None
    spatial_resolution: str | None = None
    spatial_coverage: Coverage | None = None
    standardization: Standardization | None = None
    apply_standardization: Flag | None = None
    data_location: Location | None = None
    data_dir: Location | None = None
    land_mask_location: Location | None = None
    orography_location: Location | None = None

    location = Either("data_location", "data_dir")
    stated_scaling = Either("standardization", "apply_standardization")

    @property
    def scaling(self) -> Standardization | None:
        """The normalization asked for; the old key only says whether."""
        stated = self.stated_scaling
        return Standardization(to_do=stated) if isinstance(stated, bool) else stated


class FeaturesConfiguration(FieldsConfiguration):
    """The coarse fields: read from files, or made of the labels by coarsening."""

    variables: Names | None = None
    add_auxiliary: Annotated[
        AddAuxiliary,
        # the older true or false spoke of the time alone
        BeforeValidator(lambda value: {"time": value} if isinstance(value, bool) else value),
    ] = AddAuxiliary()
    factor: Annotated[int, Field(strict=True, ge=2)] | None = None

    def _check(self) -> None:
        if self.location is not None and self.factor is not None:
            raise ValueError("data_location and factor exclude each other: read fields or coarsen")
        if self.factor is not None and self.spatial_coverage is not None:
            raise ValueError(
                "spatial_coverage and factor exclude each other: the coarse field covers the labels"
            )
        if self.location is None and self.factor is None:
            raise ValueError(
                "data_location is missing: say where the files are, or give factor to make the"
                " coarse fields of the labels"
            )
        if self.location is not None and self.variables is None:
            raise ValueError("variables is missing: name the fields to read")


class LabelConfiguration(FieldsConfiguration):
    """The fine fields."""

    variable: Names | None = None
    variables: Names | None = None

    def _check(self) -> None:
        if (self.variable is None) == (self.variables is None):
            raise ValueError("give one of variable and variables: the name of the field to learn")
        if self.location is None:
            raise ValueError("data_location is missing: say where the files are")

    @property
    def names(self) -> tuple[str, ...]:
        """The fields to learn, under either key."""
        return self.variable or self.variables or ()


class Period(ConfigurationSection):
    """From the beginning of `start` to the end of `end`, which may be years, months or days."""

    start: Annotated[str, BeforeValidator(_as_time)]
    end: Annotated[str, BeforeValidator(_as_time)]
    frequency: str = "MS"
    """Default: each month has a file, as in DeepR."""

    def _check(self) -> None:
        from pandas.tseries.frequencies import to_offset

        try:
            first, last = self.bounds()
        except ValueError as error:
            raise ValueError(
                f"start {self.start!r} and end {self.end!r}: give years, months or days, such as"
                f" 1981-01 ({error})"
            ) from None
        if last < first:
            raise ValueError(f"end {self.end} is before start {self.start}: exchange them")
        try:
            to_offset(_OLD_ALIASES.get(self.frequency, self.frequency))
        except ValueError:
            raise ValueError(
                f"frequency {self.frequency!r} is none that pandas knows: use 'MS' for each month"
            ) from None

    def bounds(self) -> tuple[Any, Any]:
        """Return the first and the last moment as pandas timestamps."""
        import pandas as pd

        return pd.Period(self.start).start_time, pd.Period(self.end).end_time

    def months(self) -> frozenset[str]:
        """Return the months that the frequency names, as YYYYMM: those that DeepR has files of."""
        import pandas as pd

        first, last = self.bounds()
        frequency = _OLD_ALIASES.get(self.frequency, self.frequency)
        named = pd.date_range(first.to_period("M").start_time, last, freq=frequency)
        return frozenset(named.strftime("%Y%m"))


class SplitCoverages(ConfigurationSection):
    """The periods of training, validation and test."""

    train: Period | None = None
    validation: Period | None = None
    test: Period | None = None


class DataSplit(ConfigurationSection):
    """The parts of the period: training first, then validation, then test."""

    test: Fraction = 0.0
    validation: Fraction = 0.0

    def _check(self) -> None:
        if self.test + self.validation > 1 + 1e-9:
            raise ValueError(
                f"test {self.test:g} and validation {self.validation:g} are more than the whole"
            )


class CommonConfiguration(ConfigurationSection):
    """The older spelling of the periods: one period and its parts."""

    temporal_coverage: Period
    data_split: DataSplit = DataSplit()


class DataConfiguration(ConfigurationSection):
    """All that is read."""

    features_configuration: FeaturesConfiguration | None = None
    label_configuration: LabelConfiguration | None = None
    split_coverages: SplitCoverages | None = None
    common_configuration: CommonConfiguration | None = None

    def _check(self) -> None:
        if self.split_coverages is not None and self.common_configuration is not None:
            raise ValueError(
                "split_coverages and common_configuration both say which times are meant: give one"
            )
        if self.label_configuration is None:
            if self.features_configuration is None:
                raise ValueError("give features_configuration, label_configuration, or both")
            if self.features_configuration.factor is not None:
                raise ValueError(
                    "features_configuration.factor coarsens the labels, but there is no"
                    " label_configuration"
                )

    def periods(self) -> dict[str, Period]:
        """Return the periods, by the name of the split or as "all"."""
        if self.common_configuration is not None:
            return {"all": self.common_configuration.temporal_coverage}
        named = {name: getattr(self.split_coverages, name, None) for name in SPLITS}
        return {name: period for name, period in named.items() if period is not None}

    def static_location(self, name: str) -> tuple[str, str, str | None]:
        """Return section, key and location of a static field, named as in :data:`STATICS`."""
        kind, resolution = name.split("-")
        section = "features_configuration" if resolution == "low" else "label_configuration"
        key = "land_mask_location" if kind == "lsm" else "orography_location"
        return section, key, getattr(getattr(self, section), key, None)

    def asked_statics(self) -> tuple[str, ...]:
        """Return the static fields that `add_auxiliary` names."""
        features = self.features_configuration
        return () if features is None else features.add_auxiliary.statics()
