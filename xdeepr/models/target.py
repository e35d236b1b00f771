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

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xdeepr.models.block_task import BlockTask
from xdeepr.models.card import Card
from xdeepr.normalization import Transform, links


@dataclass(frozen=True)
class BlockTarget:
    """The target of one model on one block.

    The card's transform of the target may still be missing; then t changes nothing.
    """

    card: Card
    task: BlockTask

    def learnt(self, field: torch.Tensor) -> torch.Tensor:
        """Return t(x) − t(b) of equation 1, which is what the last link is fitted to.

        The field x, (time, V, H, W), is in the units of the predictands, on the block's window.
        """
        for transform in self._space:
            field = transform.apply(field, **self._where)
        base = self._base_term()
        return field if base is None else field - base

    def normalized(self, field: torch.Tensor) -> torch.Tensor:
        """Return z of equation 1 for a field as in :meth:`learnt`."""
        last, statistics = links(self.card.normalization["target"])[-1], self._statistics
        return last.apply(self.learnt(field), statistics=statistics, **self._where)

    def restored(self, normalized: torch.Tensor) -> torch.Tensor:
        """Return the field of equation 2, in the units of the predictands.

        z, (..., time, V, H, W), is on the block's window; rows and columns beyond the domain are
        left out.
        """
        last, statistics = links(self.card.normalization["target"])[-1], self._statistics
        inside = self._inside(normalized)
        field = last.invert(inside, statistics=statistics, **self._where)
        base = self._base_term()
        if base is not None:
            field = field + base
        for transform in reversed(self._space):
            field = transform.invert(field, **self._where)
        return field

    def base(self) -> torch.Tensor:
        """Return b, (time, V, H, W), in the card's units; 0 for a predictand without a twin."""
        inputs, geometry = self.task.inputs, self.task.geometry
        if inputs.base is not None:
            return torch.from_numpy(inputs.base)
        places = [0 if place is None else place for place in self.card.base]
        coarse = torch.from_numpy(np.ascontiguousarray(inputs.lr[:, places]))
        return self._blanked(geometry.interpolate(coarse, self.task.block, "bicubic"))

    def _base_term(self) -> torch.Tensor | None:
        """Return t(b), (time, V, H, W), inside the domain; 0 where there is no base."""
        if self.card.target == "field":
            return None
        base = self._inside(self.base())
        for transform in self._space:
            base = transform.apply(base, **self._where)
        return self._blanked(base) if self.task.inputs.base is None else base

    def _blanked(self, base: torch.Tensor) -> torch.Tensor:
        """Return a base with 0 for the predictands that have none, where t need not leave 0."""
        if None not in self.card.base:
            return base
        known = base.new_tensor([place is not None for place in self.card.base]).bool()
        return base.where(known[:, None, None], base.new_zeros(()))

    def _inside(self, fields: torch.Tensor) -> torch.Tensor:
        """Return fields (..., H, W) on the window without what lies beyond the domain."""
        height, width = (cut.stop - cut.start for cut in self._where["window"])
        return fields[..., :height, :width]

    @property
    def _space(self) -> tuple[Transform, ...]:
        """The links of t."""
        target = self.card.normalization.get("target")
        return () if target is None else links(target)[:-1]

    @property
    def _where(self) -> dict[str, Any]:
        """When and where the values lie, as transforms want to know it."""
        window = self.task.geometry.trained_hr(self.task.block)
        return {"months": self.task.inputs.times.months, "window": window}

    @property
    def _statistics(self) -> np.ndarray | None:
        """Each field's mean and deviation, (time, 2, V), where the model uses them.

        A residual has no mean of its own: it is only divided by the field's deviation.
        """
        if self.task.inputs.statistics is None:
            return None
        chosen = np.array(self.task.inputs.statistics[:, :, self.card.twins])
        if self.card.target == "residual":
            chosen[:, 0] = 0
        return chosen
