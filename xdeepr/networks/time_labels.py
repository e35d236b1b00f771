"""Embeddings of the conditions that are single numbers: noise level, hour and day of the year."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from xdeepr.checks import one_of
from xdeepr.errors import OptionError

PERIODS: dict[str, int] = {"hour": 24, "day_of_year": 366}
"""Feature -> number of its classes, and longest wavelength of its positional embedding."""

ENCODINGS = ("class", "positional", "timestep")
"""How a label can enter a network as a vector: those encodings of ``fit`` that are no channels."""

LABEL_SCALE = 250.0
"""Noise labels are log(sigma)/4, about -1..1; the positional embedding wants hundreds."""


def sinusoid(
    values: torch.Tensor,
    width: int,
    *,
    max_period: float = 10_000.0,
    cosine_first: bool = False,
    shift: float = 1.0,
) -> torch.Tensor:
    """Return sines and cosines of numbers (N,) at geometrically spaced wavelengths.

    They are (N, width), float32, with a width of at least 4; an odd width ends with a zero.
    Wavelengths over 2 pi go from 1 to `max_period`, which is reached with a `shift` of 1, and would
    be the next with 0.

    References
    ----------
    Vaswani et al., 2017, arXiv:1706.03762, section 3.5.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=values.device) / (half - shift)
    angles = values.float()[:, None] * torch.exp(-math.log(max_period) * steps)
    halves = [angles.cos(), angles.sin()] if cosine_first else [angles.sin(), angles.cos()]
    return nn.functional.pad(torch.cat(halves, dim=1), (0, width - 2 * half))


class FourierFeatures(nn.Module):
    """Sines and cosines of a number at random frequencies, which stay as they were drawn.

    Their standard deviation, `bandwidth`, is in cycles for each unit of the number. By default it
    is one cycle for a change of the noise label log(sigma)/4 by 1, after its scaling.

    References
    ----------
    Tancik et al., 2020, arXiv:2006.10739; Karras et al., 2024, arXiv:2312.02696, appendix B.
    """

    frequencies: torch.Tensor

    def __init__(self, width: int, bandwidth: float = 1 / LABEL_SCALE) -> None:
        super().__init__()
        self.width = width
        self.register_buffer("frequencies", torch.randn((width + 1) // 2) * bandwidth)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return features (N, width) of numbers (N,)."""
        angles = 2 * math.pi * values.float()[:, None] * self.frequencies.float()
        return torch.cat([angles.sin(), angles.cos()], dim=1)[:, : self.width]


class TimeLabels(nn.Module):
    """Vectors for the hour of the day and the day of the year.

    Parameters
    ----------
    time_labels : mapping of str to str
        Feature ("hour", "day_of_year") -> encoding. "class": a table with a learnt vector for
        each whole hour or day (DeepR's option A). "positional": sines and cosines, nothing
        learnt, with 24 or 366 as longest wavelength, as in DeepR's option B; midnight is not
        joined to midnight. "timestep": sines and cosines up to the wavelength 10000, then two
        learnt layers (option C).
    dim : int
        Length of the vectors.
    """

    def __init__(self, time_labels: Mapping[str, str], dim: int) -> None:
        super().__init__()
        for feature, encoding in time_labels.items():
            one_of("a feature in time_labels", feature, list(PERIODS))
            one_of(f"time_labels[{feature!r}]", encoding, ENCODINGS)
        self.encodings = dict(time_labels)
        self.dim = dim
        # a quarter of the vector's length, which is the width of the noise level's sinusoid
        self.width = max(2 * (dim // 8), 4)
        self.embeddings = nn.ModuleDict()
        for feature, encoding in time_labels.items():
            if encoding == "class":
                self.embeddings[feature] = nn.Embedding(PERIODS[feature], dim)
            elif encoding == "timestep":
                self.embeddings[feature] = nn.Sequential(
                    nn.Linear(self.width, dim), nn.SiLU(), nn.Linear(dim, dim)
                )

    def tokens(self, labels: torch.Tensor | None) -> torch.Tensor:
        """Return one vector for each label, (N, L, dim) for labels (N, L).

        Columns are in the order of `time_labels`.
        """
        if labels is None or labels.ndim != 2 or labels.shape[1] != len(self.encodings):
            given = None if labels is None else tuple(labels.shape)
            raise OptionError(
                f"labels of shape {given}: the network was made with time_labels="
                f"{self.encodings}; give an array (N, {len(self.encodings)})."
            )
        columns = zip(self.encodings, labels.unbind(1), strict=True)
        return torch.stack([self._embed(*column) for column in columns], dim=1)

    def forward(self, labels: torch.Tensor | None) -> torch.Tensor:
        """Return the sum (N, dim) of the vectors of all labels (N, L)."""
        return self.tokens(labels).sum(dim=1)

    def _embed(self, feature: str, values: torch.Tensor) -> torch.Tensor:
        """Return vectors (N, dim) of one feature (N,)."""
        encoding, period = self.encodings[feature], PERIODS[feature]
        if encoding == "positional":
            return sinusoid(values, self.dim, max_period=period)
        layers = self.embeddings[feature]
        if encoding == "class":
            # single precision may round an instant before midnight up to the next day's first
            return layers(values.float().floor().long() % period)
        waves = sinusoid(values, self.width, cosine_first=True, shift=0.0)
        return layers(waves.to(layers[0].weight.dtype))  # type: ignore[index]
