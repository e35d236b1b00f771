"""Points on the sphere as unit vectors, so that neither the date line nor the poles are special."""

from __future__ import annotations

import numpy as np

from xdeepr.grids.spacing import along

EARTH_RADIUS = 6371.0
"""km."""

KM_PER_DEGREE = 111.195
"""Along a meridian of a sphere of 6371 km."""


def unit_vectors(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Return unit vectors, shape (..., 3), of degrees north and east."""
    lat, lon = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the distance of unit vectors (..., 3) along the great circle, in km."""
    half = np.linalg.norm(a - b, axis=-1) / 2
    return 2 * EARTH_RADIUS * np.arcsin(np.clip(half, 0, 1))


def normalized(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cell_areas(centres: np.ndarray) -> np.ndarray:
    """Return the area on the unit sphere, shape (y, x), of cells with centres (y, x, 3).

    A cell is the spherical quadrangle between its corners, two triangles.
    """
    corners = centres
    for axis, size in enumerate(centres.shape[:2]):
        corners = along(corners, axis, np.arange(size + 1) - 0.5)
    corners = normalized(corners)
    a, b = corners[:-1, :-1], corners[:-1, 1:]
    d, c = corners[1:, :-1], corners[1:, 1:]
    return _excess(a, b, c) + _excess(a, c, d)


def _excess(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Return the spherical excess of triangles.

    Van Oosterom and Strackee (1983, doi:10.1109/TBME.1983.325207), equation 8.
    """
    volume = np.abs(np.einsum("...i,...i", a, np.cross(b, c)))
    dots = [np.einsum("...i,...i", p, q) for p, q in ((a, b), (b, c), (c, a))]
    return 2 * np.arctan2(volume, 1 + dots[0] + dots[1] + dots[2])
