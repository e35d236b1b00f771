r"""Seeded LR/HR fields whose exact conditional distribution is known.

An island with mountains on a fictive latitude/longitude grid. The 2 m temperature is a
deterministic mean plus a Gaussian anomaly, and the LR field is its block mean, so the
distribution of HR given LR is Gaussian too and follows from linear algebra: the best mean, the
right spread and the lowest CRPS that any downscaling can reach are known, not estimated.
Everything is computed from a few numbers; nothing is downloaded.

With the HR field :math:`x = \mu + g`, :math:`g \sim N(0, K)` and the LR field :math:`y = A x`,

.. math:: E[x | y] = \mu + K A^T (A K A^T)^{-1} (y - A \mu), \qquad
          \mathrm{cov}[x | y] = K - K A^T (A K A^T)^{-1} A K

(Rasmussen and Williams, 2006, Gaussian Processes for Machine Learning, eq. A.6).
"""

from __future__ import annotations

from xdeepr.synthetic.climate import SyntheticClimate, example_pair

__all__ = ["SyntheticClimate", "example_pair"]
