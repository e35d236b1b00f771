"""DeepR's ConvSwin2SR: a convolution that folds the context in, then Swin2SR, for any factor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import nn

from xdeepr.errors import CheckpointError, OptionError
from xdeepr.networks.building import apart, takes
from xdeepr.networks.deepr_config import (
    check_config,
    context_of,
    hr_shape_of,
    pair_of,
    whole_number_of,
)
from xdeepr.networks.folding import folding, whole_cells
from xdeepr.networks.lr_parts import LRNetwork
from xdeepr.networks.swin2sr import SwinNetwork, SwinOptions
from xdeepr.networks.transformers_swin import forget_mean_colour

SWIN_KEYS = tuple(SwinOptions.__dataclass_fields__)
"""Keywords of the transformer, by the names of transformers."""

KNOWN = {
    *("input_shape", "sample_size", "image_size", "upscale", "real_upscale"),
    *("num_channels", "num_channels_out", "num_high_res_covars", "num_low_res_covars"),
    *("interpolation_method", "use_absolute_embeddings", *SWIN_KEYS),
}
"""Keys of a published ``config.json`` that are read."""

DEEPR_DEFAULTS = {
    "embed_dim": 180,
    "depths": (6, 6, 6, 6, 6, 6),
    "num_heads": (6, 6, 6, 6, 6, 6),
    "window_size": 8,
    "upsampler": "pixelshuffle",
}
"""DeepR's defaults where ours differ or may come to: a ``config.json`` may leave them out."""


class ConvSwin2SR(SwinNetwork):
    """Swin2SR for any factor: DeepR's network, whose checkpoints it loads.

    A convolution without padding maps the LR input with its context onto the HR size divided by
    2^k, where k = ⌈log₂ factor⌉; Swin2SR enlarges this by 2^k. If the factor is no power of two
    the convolution belongs to one size of the input, and `lr_shape` is needed.

    Parameters
    ----------
    merge : {"residual", "deepr"}, default: "residual"
        How covariates enter: by a :class:`~xdeepr.networks.lr_parts.CovariateHead`, or by DeepR's
        two linear maps of each pixel, which need an interpolation.
    rgb_mean : bool, default: False
        Subtract the mean colour of photographs from three channels, as transformers does, and so
        DeepR's networks of three variables.
    **keywords : Any
        Of every :class:`~xdeepr.networks.lr_parts.LRNetwork`, and the fields of
        :class:`~xdeepr.networks.swin2sr.SwinOptions`.

    References
    ----------
    Conde et al., 2022, arXiv:2209.11345; DeepR's model card of ConvSwin2SR.
    """

    whole_cells = staticmethod(whole_cells)

    @takes(LRNetwork, SwinOptions)
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        merge: Literal["residual", "deepr"] = "residual",
        rgb_mean: bool = False,
        **keywords: Any,
    ) -> None:
        options, common = apart(SwinOptions, keywords)
        super().__init__(in_channels, out_channels, **common)
        folded = folding(self.factor, self.context, common.get("lr_shape"))
        self.lr_shape = folded.lr_shape
        self.preprocess_model = nn.Conv2d(in_channels, in_channels, folded.kernel)
        self.swin = options.build(in_channels, out_channels, 2**folded.levels)
        if not rgb_mean:
            forget_mean_colour(self.swin)
        self.merge_covars_interp: nn.Conv2d | None = None
        self.merge_covars_swin2sr: nn.Conv2d | None = None
        if not self.covariate_channels or merge == "residual":
            self.add_head()
        elif merge == "deepr" and self.interpolation is not None:
            merged = out_channels + self.covariate_channels
            self.merge_covars_interp = nn.Conv2d(merged, out_channels, 1)
            self.merge_covars_swin2sr = nn.Conv2d(merged, out_channels, 1)
        else:
            raise OptionError(
                f"merge={merge!r} with interpolation={self.interpolation!r}: choose 'residual', or"
                " 'deepr' together with an interpolation, which DeepR merges covariates with."
            )

    def enlarge(self, lr: torch.Tensor) -> torch.Tensor:
        """Return HR fields (N, out, H, W) of the LR cells alone."""
        return self.run_swin(self.preprocess_model(lr), any_size=self.lr_shape is None)

    def merge(
        self, fields: torch.Tensor, base: torch.Tensor | None, covariates: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the output, with covariates in DeepR's way if they are to enter so."""
        interp, swin2sr = self.merge_covars_interp, self.merge_covars_swin2sr
        if interp is None or swin2sr is None or base is None or covariates is None:
            return super().merge(fields, base, covariates)
        return interp(torch.cat([base, covariates], 1)) + swin2sr(
            torch.cat([fields, covariates], 1)
        )

    @staticmethod
    def keywords_of_deepr(config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's keywords for a published ``config.json``."""
        check_config(config, "conv_swin2sr", KNOWN)
        for key in ("use_absolute_embeddings", "num_low_res_covars"):
            if config.get(key):
                raise CheckpointError(
                    f"config.json: {key} is {config[key]!r}, which none of DeepR's published"
                    " networks has and xdeepr does not build."
                )
        channels = whole_number_of(config, "num_channels", 0)
        if not channels or whole_number_of(config, "num_channels_out", channels) != channels:
            raise CheckpointError(
                f"config.json: num_channels is {config.get('num_channels')!r} and num_channels_out"
                f" is {config.get('num_channels_out')!r}: the same number, from 1, is due for both."
            )
        lr_shape, factor, context = _sizes(config)
        covariates = whole_number_of(config, "num_high_res_covars", 0)
        swin = {key: config[key] for key in SWIN_KEYS if config.get(key) is not None}
        return {
            "in_channels": channels,
            "out_channels": channels,
            "factor": factor,
            "context": context,
            "covariate_channels": covariates,
            "lr_shape": lr_shape,
            "interpolation": config.get("interpolation_method", "bicubic"),
            "merge": "deepr",
            "rgb_mean": channels == 3,
            **DEEPR_DEFAULTS,
            **swin,
        }


def _sizes(config: Mapping[str, Any]) -> tuple[tuple[int, int], int, int]:
    """Return size of the LR input, factor and context of a published configuration.

    ``upscale`` is rounded up to a power of two when DeepR saves a configuration. The true factor
    is ``real_upscale``; where that is missing, it is the only one that rounds up to ``upscale``
    and leaves the same number of LR cells on all sides.
    """
    lr_shape = pair_of(config, "input_shape")
    upscale = whole_number_of(config, "upscale", 2)
    factor = whole_number_of(config, "real_upscale", 0)
    hr_shape = hr_shape_of(config, factor)
    if lr_shape is None or hr_shape is None:
        missing = "input_shape" if lr_shape is None else "sample_size"
        raise CheckpointError(
            f"config.json of a conv_swin2sr has no {missing}: add height and width of the"
            f" {'LR input' if lr_shape is None else 'HR output'}, which its layers depend on."
        )
    if factor:
        return lr_shape, factor, context_of(lr_shape, hr_shape, factor)
    fitting = {}
    power = 1 << (upscale - 1).bit_length()
    for candidate in {upscale, *range(power // 2 + 1, power + 1)}:
        try:
            fitting[candidate] = context_of(lr_shape, hr_shape, candidate)
        except CheckpointError:
            continue
    centre = pair_of(config, "image_size")
    if centre is not None and len(fitting) > 1:
        fitting = {f: c for f, c in fitting.items() if (centre[0] * f, centre[1] * f) == hr_shape}
    if len(fitting) != 1:
        raise CheckpointError(
            f"config.json: the factor does not follow from input_shape {lr_shape}, sample_size"
            f" {hr_shape} and upscale {upscale}: add real_upscale."
        )
    factor, context = fitting.popitem()
    return lr_shape, factor, context
