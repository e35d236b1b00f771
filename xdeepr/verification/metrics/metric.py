"""What a score is: statistics of points or fields, their weighted means, a formula of the means.

Means are all that is accumulated, so a score is the same whatever the chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import xarray as xr

REALIZATION = "realization"

Means = Mapping[str, xr.DataArray]


@dataclass(frozen=True, eq=False)
class Pair:
    """A forecast and its reference on the same points, in the same units, float64, lazy.

    Parameters
    ----------
    forecast, reference : xarray.DataArray
        Dimensions ([time], y, x) in any names; of an ensemble `realization` before them.
    weights : xarray.DataArray
        Weight of each point, at least 0; 0 where a field of any system is missing.
    horizontal : tuple of str
        Names of the dimensions y and x.
    """

    forecast: xr.DataArray
    reference: xr.DataArray
    weights: xr.DataArray
    horizontal: tuple[str, str]

    @property
    def members(self) -> int | None:
        """Number of realizations; None for a single field."""
        return self.forecast.sizes.get(REALIZATION)


@dataclass(frozen=True)
class Statistic:
    """Values whose means scores are made of.

    Parameters
    ----------
    compute : callable
        Maps a :class:`Pair` to named values, none of them reduced over time. Values of a "field"
        have lost the horizontal dimensions; any may have gained dimensions of their own.
    needs : {"cell", "ensemble", "field"}
        What one call has to see at once. "cell": one cell of one field, which is the mean of an
        ensemble. "ensemble": all realizations of a cell. "field": all cells, and all
        realizations, of a time; these chunks do not get smaller on a large domain.
    """

    compute: Callable[[Pair], Means]
    needs: Literal["cell", "ensemble", "field"]


@dataclass(frozen=True)
class Mean:
    """A score that is the mean of one statistic, or a root of it.

    The score to the given power is the mean: 2 for a root-mean-square.
    """

    of: str
    power: int = 1

    def __call__(self, means: Means) -> xr.DataArray:
        """Return the score."""
        return means[self.of] if self.power == 1 else means[self.of] ** (1 / self.power)


@dataclass(frozen=True)
class Metric:
    """A score: everything that is known of it, for the verb, tables, charts and commands.

    Parameters
    ----------
    name, long_name : str
        Of its variable in the result of :func:`xdeepr.verify`.
    label : str
        Heading in tables and charts; short.
    units : {"field", "1"}
        Those of the verified field, or none.
    better : {"lower", "higher", "zero", "one", "flat"}
        Which value is best; "lower" means an error of which 0 is the least, so that a change in
        percent has a meaning.
    statistics : tuple of Statistic
        Each is computed once, whatever the number of scores that need it.
    score : callable
        Maps the means of the statistics to the score: a :class:`Mean`, or a formula of several.
    dims : tuple of str
        Dimensions of its own, such as "rank".
    single : bool
        Whether a single field has this score; if not, it is missing there.
    usual : bool
        Whether :func:`xdeepr.verify` computes it unless other scores are asked for.
    """

    name: str
    long_name: str
    label: str
    units: Literal["field", "1"]
    better: Literal["lower", "higher", "zero", "one", "flat"]
    statistics: tuple[Statistic, ...]
    score: Callable[[Means], xr.DataArray]
    dims: tuple[str, ...] = ()
    single: bool = True
    usual: bool = True

    @property
    def power(self) -> int | None:
        """Power of the score that can be averaged over parts; None for a formula of means."""
        return self.score.power if isinstance(self.score, Mean) else None

    @property
    def needs(self) -> set[str]:
        """What its statistics have to see at once."""
        return {statistic.needs for statistic in self.statistics}
