"""diffusers' ``UNet2DModel`` exactly as DeepR configured and published it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from xdeepr.errors import CheckpointError
from xdeepr.networks.building import zero_

HOURS = 24
"""Classes of an embedding of the hour."""


class PublishedUNet(nn.Module):
    """The U-Net of DeepR's published diffusion models, with its own embedding of the hour.

    Parameters
    ----------
    time_labels : mapping of str to str
        Empty, or ``{"hour": encoding}``. "class": the table of the configuration's
        ``num_class_embeds``; "timestep": sinusoids and learnt layers
        (``class_embed_type="timestep"``); "positional": sinusoids with the longest period of 24
        hours (``class_embed_type="identity"``).
    label_scale : float
        Factor on the noise label, which for these networks is the number of the timestep itself.
    north_first : bool
        Whether the weights belong to fields whose first row is the northernmost, as DeepR's are.
        Fields come and go with ascending rows all the same.
    **config : Any
        The other keywords of ``UNet2DModel``, as its ``config.json`` has them.

    References
    ----------
    Ho et al., 2020, arXiv:2006.11239.
    """

    grid = "hr"
    uses_lr = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        time_labels: Mapping[str, str] | None = None,
        lr_channels: int = 0,
        label_scale: float = 1.0,
        north_first: bool = True,
        **config: Any,
    ) -> None:
        super().__init__()
        from diffusers import UNet2DModel

        if lr_channels:
            raise CheckpointError(
                f"lr_channels={lr_channels}: this network does not look at the LR grid; use 0."
            )
        self.hour = hour_encoding(dict(time_labels or {}), config)
        self.label_scale = label_scale
        self.north_first = north_first
        self.unet = UNet2DModel(
            in_channels=in_channels, out_channels=out_channels, **_as_tuples(config)
        )
        self.multiple = 2 ** (len(self.unet.config["block_out_channels"]) - 1)
        zero_(self.unet.conv_out)

    def forward(
        self,
        inputs: torch.Tensor,
        noise_label: torch.Tensor,
        labels: torch.Tensor | None = None,
        lr: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return (N, out, H, W); see :mod:`xdeepr.networks.registry` for the arguments.

        The noise label is the timestep. Whole hours are classes: 13:30 counts as 13.
        """
        rows = inputs.flip(-2) if self.north_first else inputs
        out = self.unet(
            rows,
            noise_label * self.label_scale,
            class_labels=self._class_labels(labels, inputs),
            return_dict=False,
        )[0]
        return out.flip(-2) if self.north_first else out

    def _class_labels(
        self, labels: torch.Tensor | None, inputs: torch.Tensor
    ) -> torch.Tensor | None:
        """Return the hour in the form that the U-Net's class embedding takes."""
        if self.hour is None:
            return None
        assert labels is not None  # the caller gives a column for each entry of time_labels
        hour = labels[:, 0]
        if self.hour == "class":
            return hour.floor().long() % HOURS
        if self.hour == "timestep":
            return hour
        from diffusers.models.embeddings import get_timestep_embedding

        width = self.unet.time_embedding.linear_2.out_features
        return get_timestep_embedding(hour, width, max_period=HOURS).to(inputs.dtype)


def hour_encoding(time_labels: Mapping[str, str], config: Mapping[str, Any]) -> str | None:
    """Return how the hour is embedded, if it is; it must suit the keywords of ``UNet2DModel``."""
    asked = time_labels.get("hour")
    if set(time_labels) - {"hour"} or asked not in (None, "class", "timestep", "positional"):
        raise CheckpointError(
            f"time_labels={dict(time_labels)!r}: DeepR's U-Nets know only the hour, as class,"
            " timestep or positional."
        )
    embedding, classes = config.get("class_embed_type"), config.get("num_class_embeds")
    made_for = {None: "class" if classes else None, "timestep": "timestep"}.get(
        embedding, "positional" if embedding == "identity" else "unknown"
    )
    if asked != made_for or (asked == "class" and int(classes or 0) < HOURS):
        raise CheckpointError(
            f"hour={asked or 'none'!r} does not suit this U-Net: its configuration has"
            f" class_embed_type={embedding!r} and num_class_embeds={classes!r}, which is for"
            f" hour={made_for or 'none'!r}"
            + (f" with at least {HOURS} classes." if asked == made_for else ".")
        )
    return asked


def _as_tuples(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords with lists, which JSON has, as the tuples that diffusers wants."""
    return {
        key: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
        for key, value in config.items()
    }
