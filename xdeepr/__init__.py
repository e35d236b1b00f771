"""Deep-learning downscaling of gridded climate data, as an xarray accessor.

``import xdeepr`` registers ``.deepr`` on Dataset and DataArray and imports neither torch nor
dask; each function loads what it needs when it is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xdeepr import errors
from xdeepr._version import __version__
from xdeepr.accessor import DeeprDataArrayAccessor, DeeprDatasetAccessor
from xdeepr.errors import XdeeprError
from xdeepr.grids.projection import load_pyproj

load_pyproj()  # before anything loads ecCodes

if TYPE_CHECKING:
    from xdeepr.deepr_compat import from_deepr, run
    from xdeepr.downscaling import downscale
    from xdeepr.grids.coarsening import coarsen
    from xdeepr.grids.regridding import nest
    from xdeepr.models.downscaler import Downscaler
    from xdeepr.models.find import from_hub, load
    from xdeepr.models.hub import push_to_hub
    from xdeepr.sampling.samplers import Sampler
    from xdeepr.training import fit
    from xdeepr.verification import verify

_LAZY = {
    "Downscaler": "xdeepr.models.downscaler",
    "Sampler": "xdeepr.sampling.samplers",
    "coarsen": "xdeepr.grids.coarsening",
    "downscale": "xdeepr.downscaling",
    "fit": "xdeepr.training",
    "from_deepr": "xdeepr.deepr_compat",
    "from_hub": "xdeepr.models.find",
    "load": "xdeepr.models.find",
    "nest": "xdeepr.grids.regridding",
    "push_to_hub": "xdeepr.models.hub",
    "run": "xdeepr.deepr_compat",
    "verify": "xdeepr.verification",
}
_SUBMODULES = ("datasets", "io", "plotting", "synthetic", "testing")

__all__ = [
    "DeeprDataArrayAccessor",
    "DeeprDatasetAccessor",
    "Downscaler",
    "Sampler",
    "XdeeprError",
    "__version__",
    "coarsen",
    "datasets",
    "downscale",
    "errors",
    "fit",
    "from_deepr",
    "from_hub",
    "io",
    "load",
    "nest",
    "plotting",
    "push_to_hub",
    "run",
    "synthetic",
    "testing",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _SUBMODULES:
        return import_module(f"xdeepr.{name}")
    raise AttributeError(f"module 'xdeepr' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted(__all__)
