"""Mean and standard deviation fitted on the training part, and the inverse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Values = TypeVar("Values", np.ndarray, "torch.Tensor")
"""A numpy array or a torch tensor; torch itself is not needed here."""


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel over the whole domain and period.

    Parameters
    ----------
    mean, std : tuple of float
        One number for each channel, in the channel's units.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(cls, fields: Any) -> Normalization:
        """Fit to data.

        Parameters
        ----------
        fields : array, shape (time, channel, y, x)
            Training data; a dask array is reduced chunk by chunk.

        Returns
        -------
        Normalization
            A channel without variance gets the deviation 1.
        """
        import dask

        data = fields.astype("float64")
        axes = (0, 2, 3)
        mean, square = dask.compute(data.mean(axis=axes), (data**2).mean(axis=axes))
        mean = np.asarray(mean)
        spread = np.sqrt(np.maximum(np.asarray(square) - mean**2, 0.0))
        # below rounding of float32 the "variance" of a constant channel is noise
        spread = np.where(spread > 1e-6 * np.maximum(np.abs(mean), 1e-30), spread, 1.0)
        return cls(tuple(mean.tolist()), tuple(spread.tolist()))

    def apply(self, values: Values) -> Values:
        """Return normalized values; channels are the third axis from the end."""
        mean, std = self._columns(values)
        return (values - mean) / std

    def invert(self, values: Values) -> Values:
        """Return values in physical units; the inverse of :meth:`apply`."""
        mean, std = self._columns(values)
        return values * std + mean

    def _columns(self, values: Values) -> tuple[Values, Values]:
        """Return mean and deviation shaped (channel, 1, 1) in the dtype of the values."""
        shape = (-1, 1, 1)
        if isinstance(values, np.ndarray):
            return (
                np.asarray(self.mean, values.dtype).reshape(shape),
                np.asarray(self.std, values.dtype).reshape(shape),
            )
        # a torch tensor, without importing torch into this leaf
        return (
            values.new_tensor(self.mean).reshape(shape),
            values.new_tensor(self.std).reshape(shape),
        )
