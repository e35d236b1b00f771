r"""What a network learns of a field, and the field that follows from it.

Let :math:`x` be the field, :math:`b` its base, and :math:`a \circ t` the transform of the target
with its last link :math:`a`; for an affine transform alone :math:`t` changes nothing. The network
learns the residual in the space of :math:`t`, in which differences make sense,

.. math::

    z = a(t(x) - t(b)), \qquad (1)

    x = t^{-1}(a^{-1}(z) + t(b)), \qquad (2)

so that :math:`x` keeps the bounds of :math:`t`. Where the field itself is learnt, :math:`t(b)` is
left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.normalization import Transform, links


def learnt(card: Card, field: torch.Tensor, task: BlockTask) -> torch.Tensor:
    """Return t(x) − t(b) of equation 1, which is what the last link is fitted to.

    Parameters
    ----------
    card : Card
        Its transform of the target may still be missing; then t changes nothing.
    field : torch.Tensor, shape (time, V, H, W)
        In the units of the predictands, on the block's window.
    task : BlockTask
        The block's arrays and where they lie.
    """
    where = _where(task)
    for transform in _space(card):
        field = transform.apply(field, **where)
    base = _base_term(card, task)
    return field if base is None else field - base


def normalized_target(card: Card, field: torch.Tensor, task: BlockTask) -> torch.Tensor:
    """Return z of equation 1; the arguments are those of :func:`learnt`."""
    return links(card.normalization["target"])[-1].apply(
        learnt(card, field, task),
        statistics=target_statistics(card, task.inputs.statistics),
        **_where(task),
    )


def restored(card: Card, normalized: torch.Tensor, task: BlockTask) -> torch.Tensor:
    """Return the field of equation 2, in the units of the predictands.

    Parameters
    ----------
    card : Card
        Holds the transform of the target.
    normalized : torch.Tensor, shape (..., time, V, H, W)
        z on the block's window; rows and columns beyond the domain are left out.
    task : BlockTask
        The block's arrays and where they lie.
    """
    where = _where(task)
    height, width = (cut.stop - cut.start for cut in where["window"])
    field = links(card.normalization["target"])[-1].invert(
        normalized[..., :height, :width],
        statistics=target_statistics(card, task.inputs.statistics),
        **where,
    )
    base = _base_term(card, task)
    if base is not None:
        field = field + base
    for transform in reversed(_space(card)):
        field = transform.invert(field, **where)
    return field


def base_field(card: Card, task: BlockTask) -> torch.Tensor:
    """Return b, shape (time, V, H, W), in the card's units; 0 for a predictand without a twin."""
    inputs = task.inputs
    if inputs.base is not None:
        return torch.from_numpy(inputs.base)
    places = [0 if place is None else place for place in card.base]
    coarse = torch.from_numpy(np.ascontiguousarray(inputs.lr[:, places]))
    base = task.geometry.interpolate(coarse, task.block, "bicubic")
    return _blanked(card, base) if None in card.base else base


def target_statistics(card: Card, statistics: np.ndarray | None) -> np.ndarray | None:
    """Return each field's mean and deviation for the target, (time, 2, V).

    A residual has no mean of its own: it is only divided by the field's deviation.
    """
    if statistics is None:
        return None
    chosen = np.array(statistics[:, :, card.twins])
    if card.target == "residual":
        chosen[:, 0] = 0
    return chosen


def _space(card: Card) -> tuple[Transform, ...]:
    """Return the links of t."""
    target = card.normalization.get("target")
    return () if target is None else links(target)[:-1]


def _base_term(card: Card, task: BlockTask) -> torch.Tensor | None:
    """Return t(b), (time, V, H, W), inside the domain; 0 where there is no base."""
    if card.target == "field":
        return None
    where = _where(task)
    height, width = (cut.stop - cut.start for cut in where["window"])
    base = base_field(card, task)[..., :height, :width]
    for transform in _space(card):
        base = transform.apply(base, **where)
    # t need not leave 0 where it is
    return _blanked(card, base) if task.inputs.base is None and None in card.base else base


def _blanked(card: Card, base: torch.Tensor) -> torch.Tensor:
    """Return a base (time, V, H, W) with 0 for the predictands that have none."""
    known = base.new_tensor([place is not None for place in card.base]).bool()
    return base.where(known[:, None, None], base.new_zeros(()))


def _where(task: BlockTask) -> dict[str, Any]:
    """Return when and where the values of a block lie, as transforms want to know it."""
    return {"months": task.inputs.times.months, "window": task.geometry.trained_hr(task.block)}
