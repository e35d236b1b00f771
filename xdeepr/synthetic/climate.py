"""A fictive island and its weather, as CF datasets at LR and HR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from xdeepr.errors import (
    AxisError,
    GridError,
    MissingValuesError,
    OptionError,
    UnitsError,
    VariableError,
)
from xdeepr.synthetic.gaussian import Array, GaussianField, Lattice, Times, centres

LAPSE_RATE = -6.5e-3
"""Change of temperature with altitude in the standard atmosphere, K m-1."""

WARMEST_DAY, WARMEST_HOUR = 205, 15
"""Day of the year (from 0) and local hour when the temperature is highest."""

DOME = 1.2
"""Depth of the sea floor half a domain from the centre, in standard deviations of the relief."""

# First number of every random stream, so that no two purposes ever share their numbers.
_TERRAIN, _WEATHER, _DRAW = 1, 2, 3

_DIMS = ("realization", "time", "latitude", "longitude")
_T2M = {
    "standard_name": "air_temperature",
    "long_name": "2 metre temperature",
    "units": "K",
    "units_metadata": "temperature: on_scale",
    "cell_methods": "time: point area: mean",
}


@dataclass(frozen=True)
class SyntheticClimate:
    """A fictive island: its weather at HR, and the distribution that follows from LR.

    The mean depends only on what a network can see: statics, hour of day and day of year. The
    anomaly has a synoptic part, smooth and the same over land and sea, and a local part with
    several scales about that of an LR cell, stronger over land. Each scale has a
    squared-exponential correlation; together they have the broad spectrum of turbulence. Weather
    at two times is independent, so one time teaches nothing about another.

    Parameters
    ----------
    seed : int
        Seed of the terrain, at least 0. The weather has a seed of its own.
    shape : tuple of int
        HR cells along latitude and longitude, multiples of `factor`.
    factor : int
        HR cells per LR cell along each axis, at least 2.
    resolution : float
        Edge of an HR cell in degrees.
    south, west : float
        Lower-left corner of the domain, degrees north and east.
    land_fraction : float
        Part of the cells above the sea, between 0 and 1.
    highest_peak : float
        Altitude of the highest cell in m.
    base_temperature : float
        Mean over the year at sea level in K.
    seasonal_amplitude, diurnal_amplitude : tuple of float
        Half the range of the yearly and of the daily cycle in K, over (sea, land).
    synoptic_std, synoptic_length : float
        Standard deviation in K and correlation length in km of the large-scale weather.
    local_std : tuple of float
        Standard deviation of the local weather in K, over (sea, land).
    local_lengths : tuple of float
        Correlation lengths of the local weather in km; each has the same share of the variance.

    Examples
    --------
    >>> climate = SyntheticClimate(shape=(16, 24))
    >>> lr, hr = climate.sample(["2001-07-01T12:00"], seed=0)
    >>> lr["t2m"].shape, hr["t2m"].shape
    ((1, 4, 6), (1, 16, 24))
    >>> climate.conditional(lr)["mean"].dims
    ('time', 'latitude', 'longitude')
    """

    seed: int = 0
    shape: tuple[int, int] = (64, 64)
    factor: int = 4
    resolution: float = 0.0625
    south: float = 38.0
    west: float = 4.0
    land_fraction: float = 0.45
    highest_peak: float = 2400.0
    base_temperature: float = 288.0
    seasonal_amplitude: tuple[float, float] = (5.0, 8.0)
    diurnal_amplitude: tuple[float, float] = (0.5, 4.0)
    synoptic_std: float = 3.0
    synoptic_length: float = 250.0
    local_std: tuple[float, float] = (0.5, 1.2)
    local_lengths: tuple[float, ...] = (8.0, 16.0, 32.0)

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if self.factor < 2 or any(size < self.factor or size % self.factor for size in self.shape):
            raise OptionError(
                f"shape {self.shape} does not divide into blocks of factor {self.factor}: give a "
                "factor of at least 2 and HR sizes that are multiples of it."
            )
        north = self.south + self.shape[0] * self.resolution
        if self.resolution <= 0 or self.south < -90 or north > 90:
            raise OptionError(
                f"latitudes {self.south} to {north} at resolution {self.resolution} are not on the "
                "globe: give a positive resolution and a domain between the poles."
            )
        if not 0 < self.land_fraction < 1:
            raise OptionError(f"land_fraction is {self.land_fraction}: give one between 0 and 1.")
        scales = (self.synoptic_std, self.synoptic_length, *self.local_std, *self.local_lengths)
        if min(scales) <= 0 or not self.local_lengths:
            raise OptionError(
                "synoptic_std, synoptic_length, local_std and local_lengths are "
                f"{scales}: all must be positive, and one local length be given."
            )

    def statics(self) -> xr.Dataset:
        """Return the static covariates on the HR grid, float32, dims (latitude, longitude).

        They are `orography` in m and `land_sea_mask`, 1 over land and 0 over sea.
        """
        orography, land = self._terrain
        altitude = {"standard_name": "surface_altitude", "long_name": "orography", "units": "m"}
        mask = {"standard_name": "land_binary_mask", "long_name": "land-sea mask", "units": "1"}
        fields = {"orography": (orography, altitude), "land_sea_mask": (land, mask)}
        return _dataset(fields, self._lattice.coordinates(1), f"Synthetic island {self.seed}")

    def sample(self, time: npt.ArrayLike, *, seed: int) -> tuple[xr.Dataset, xr.Dataset]:
        """Return LR and HR 2 m temperature at the given times.

        The field at a time depends on that time and `seed` alone, never on which other times
        are asked for.

        Parameters
        ----------
        time : array_like of datetime64
            Times, UTC; for instance a `pandas.DatetimeIndex`.
        seed : int
            Seed of the weather, at least 0.

        Returns
        -------
        lr, hr : xarray.Dataset
            Variable `t2m` in K, float32, dims (time, latitude, longitude); `lr` is the
            area-weighted block mean of `hr`.
        """
        _check_seed(seed)
        times = _times(time)
        hr = self._mean(times) + self._field.draw(
            [(_WEATHER, seed, second) for second in _seconds(times)]
        )
        title = f"Synthetic weather, seed {seed}"
        lattice = self._lattice
        lr = lattice.block_mean(hr)
        return (
            _dataset({"t2m": (lr, _T2M)}, lattice.coordinates(self.factor, times), title),
            _dataset({"t2m": (hr, _T2M)}, lattice.coordinates(1, times), title),
        )

    def conditional(self, lr: xr.Dataset) -> xr.Dataset:
        """Return the exact mean and standard deviation of HR given LR.

        Parameters
        ----------
        lr : xarray.Dataset
            Variable `t2m` in K on this climate's LR grid, as from :meth:`sample`.

        Returns
        -------
        xarray.Dataset
            `mean` (time, latitude, longitude) and `std` (latitude, longitude) in K, float64. The
            spread has no time: that of a Gaussian does not depend on what was observed.
        """
        times, observed = _observed(lr, self._lattice)
        mean = self._field.corrected(self._mean(times), observed)
        spread = {
            "long_name": "conditional standard deviation of 2 metre temperature",
            "units": "K",
            "units_metadata": "temperature: difference",
        }
        fields = {
            "mean": (mean, _T2M | {"long_name": "conditional mean of 2 metre temperature"}),
            "std": (self._field.spread, spread),
        }
        title = "Exact distribution of HR given LR"
        return _dataset(fields, self._lattice.coordinates(1, times), title, dtype="float64")

    def draw(self, lr: xr.Dataset, members: int, *, seed: int) -> xr.Dataset:
        """Draw an ensemble from the exact distribution of HR given LR.

        A member depends on its index, its time and `seed` alone. Unconditional fields are moved
        onto the observation (Matheron's rule; Wilson et al., 2020, arXiv:2002.09309, eq. 11).

        Parameters
        ----------
        lr : xarray.Dataset
            As for :meth:`conditional`.
        members : int
            Number of realizations, at least 1.
        seed : int
            Seed of the ensemble, at least 0; independent of that of :meth:`sample`.

        Returns
        -------
        xarray.Dataset
            Variable `t2m` in K, float32, dims (realization, time, latitude, longitude).
        """
        _check_seed(seed)
        if members < 1:
            raise OptionError(f"members is {members}: ask for at least 1.")
        times, observed = _observed(lr, self._lattice)
        mean = self._mean(times)
        fields = np.empty((members, *mean.shape), dtype=np.float32)
        for member in range(members):
            keys = [(_DRAW, seed, member, second) for second in _seconds(times)]
            fields[member] = self._field.corrected(mean + self._field.draw(keys), observed)
        index = ("realization", np.arange(members), {"standard_name": "realization", "units": "1"})
        coordinates = {"realization": index, **self._lattice.coordinates(1, times)}
        title = f"Exact ensemble of HR given LR, seed {seed}"
        return _dataset({"t2m": (fields, _T2M)}, coordinates, title)

    def expected_crps(self) -> float:
        """Return the lowest CRPS that any downscaling of LR can reach, area-weighted, in K.

        The mean CRPS of a Gaussian forecast with the right mean and spread is its standard
        deviation over √π (Gneiting and Raftery, 2007, doi:10.1198/016214506000001437, section
        4.2). The fair CRPS of an ensemble drawn from it has this expectation; the plain one of M
        members is 1 + 1/M times larger.
        """
        return self._lattice.domain_mean(self._field.spread) / float(np.sqrt(np.pi))

    def expected_rmse(self) -> float:
        """Return the lowest RMSE that any downscaling of LR can reach, area-weighted, in K.

        It is that of the exact conditional mean.
        """
        return float(np.sqrt(self._lattice.domain_mean(self._field.spread**2)))

    @cached_property
    def _lattice(self) -> Lattice:
        return Lattice(self.shape, self.factor, self.resolution, self.south, self.west)

    @cached_property
    def _field(self) -> GaussianField:
        sea, land = self.local_std
        share = np.sqrt(len(self.local_lengths))
        local = np.where(self._terrain[1] > 0, land, sea) / share
        synoptic = np.full(self.shape, self.synoptic_std)
        parts = [(synoptic, self.synoptic_length), *((local, x) for x in self.local_lengths)]
        return GaussianField(self._lattice, parts)

    @cached_property
    def _terrain(self) -> tuple[Array, Array]:
        """Orography in m and the land mask: relief on a dome that sinks towards the edges."""
        rng = np.random.default_rng((_TERRAIN, self.seed))
        y, x = (np.linspace(-1, 1, size) for size in self.shape)
        height = -DOME * (y[:, None] ** 2 + x**2)
        # Heights shrink a little faster than lengths, as in the spectrum of real relief.
        for octave, length in enumerate((80.0, 40.0, 20.0, 10.0)):
            root_y, root_x = self._lattice.correlation_roots(length)
            height = height + 0.45**octave * (root_y @ rng.standard_normal(self.shape) @ root_x)
        height -= np.quantile(height, 1 - self.land_fraction)
        # The power makes plains near the coast and pointed peaks.
        orography = self.highest_peak * (np.maximum(height, 0) / height.max()) ** 1.4
        return orography, (height > 0).astype(np.float64)

    def _mean(self, times: Times) -> Array:
        """Return the deterministic part in K, dims (time, y, x)."""
        orography, land = self._terrain
        day = (times - times.astype("datetime64[Y]")) / np.timedelta64(1, "D")
        hour = (times - times.astype("datetime64[D]")) / np.timedelta64(1, "h")
        # One local time for the whole domain: the hour is a condition, the longitude is not.
        hour = hour + (self.west + self.shape[1] * self.resolution / 2) / 15
        season = np.cos(2 * np.pi * (day - WARMEST_DAY) / 365.25)[:, None, None]
        daily = np.cos(2 * np.pi * (hour - WARMEST_HOUR) / 24)[:, None, None]
        seasonal, diurnal = (
            np.where(land > 0, over_land, over_sea)
            for over_sea, over_land in (self.seasonal_amplitude, self.diurnal_amplitude)
        )
        surface = self.base_temperature + LAPSE_RATE * orography
        return surface + seasonal * season + diurnal * daily


def example_pair(
    days: int = 3,
    *,
    start: str = "2001-07-01",
    seed: int = 0,
    climate: SyntheticClimate | None = None,
) -> tuple[xr.Dataset, xr.Dataset, xr.Dataset]:
    """Return a few days of hourly LR and HR temperature, and the statics.

    Parameters
    ----------
    days : int
        Number of days, at least 1.
    start : str
        First day, ISO 8601.
    seed : int
        Seed of the weather, at least 0.
    climate : SyntheticClimate, optional
        The island; the default one of 64 × 64 cells if None.

    Returns
    -------
    lr, hr, statics : xarray.Dataset
        As from :meth:`SyntheticClimate.sample` and :meth:`SyntheticClimate.statics`.

    Examples
    --------
    >>> lr, hr, statics = example_pair(days=1)
    >>> lr["t2m"].shape, hr["t2m"].shape, list(statics.data_vars)
    ((24, 16, 16), (24, 64, 64), ['orography', 'land_sea_mask'])
    """
    if days < 1:
        raise OptionError(f"days is {days}: ask for at least 1.")
    climate = climate or SyntheticClimate()
    hours = np.datetime64(start, "h") + np.arange(24 * days)
    lr, hr = climate.sample(hours, seed=seed)
    return lr, hr, climate.statics()


def _observed(lr: xr.Dataset, lattice: Lattice) -> tuple[Times, Array]:
    """Return times and values of an LR field on the lattice's blocks, after checking it."""
    if "t2m" not in lr:
        raise VariableError(
            f"no 't2m' among {list(lr.data_vars)}: rename the LR temperature to it."
        )
    field, dims = lr["t2m"], _DIMS[1:]
    if field.attrs.get("units") != "K":
        raise UnitsError(f"'t2m' has units {field.attrs.get('units')!r}: convert it to 'K'.")
    if set(field.dims) != set(dims):
        raise AxisError(f"'t2m' has dimensions {field.dims}: rename or expand them to {dims}.")
    field = field.transpose(*dims).sortby(["latitude", "longitude"])
    for name, edge in lattice.edges(lattice.factor).items():
        cells = centres(edge)
        if field.sizes[name] != cells.size or not np.allclose(field[name], cells, atol=1e-3):
            raise GridError(
                f"'t2m' is not on the LR grid of this climate: {name} should have {cells.size} "
                f"cells from {cells[0]} to {cells[-1]}. Use lr from sample() of a climate with "
                "the same parameters."
            )
    values = field.to_numpy().astype(np.float64)
    if not np.isfinite(values).all():
        raise MissingValuesError("'t2m' has missing values: fill them or drop those times.")
    return _times(field["time"]), values


def _dataset(
    fields: Mapping[str, tuple[Array, Mapping[str, str]]],
    coordinates: Mapping[str, Any],
    title: str,
    *,
    dtype: str = "float32",
) -> xr.Dataset:
    """Return a CF dataset of fields whose last dimensions are those of :data:`_DIMS`."""
    variables = {
        name: (_DIMS[-values.ndim :], values.astype(dtype, copy=False), dict(attrs))
        for name, (values, attrs) in fields.items()
    }
    attrs = {"Conventions": "CF-1.11", "title": title, "source": "xdeepr.synthetic"}
    return xr.Dataset(variables, coordinates, attrs)


def _times(time: npt.ArrayLike) -> Times:
    """Return times as an array of datetime64[ns], dims (time,)."""
    try:
        times = np.atleast_1d(np.asarray(time, dtype="datetime64[ns]"))
    except (TypeError, ValueError) as error:
        raise AxisError(
            f"the times cannot be read as datetime64 ({error}): give them in the standard calendar."
        ) from error
    if np.isnat(times).any():
        raise AxisError("A time is missing (NaT): drop it.")
    return times


def _seconds(times: Times) -> list[int]:
    """Return each time as a number that a seed may hold: whole and not negative."""
    return [int(time) % 2**64 for time in times.astype("datetime64[s]").astype(np.int64)]


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise OptionError(f"seed is {seed}: give one of at least 0.")
