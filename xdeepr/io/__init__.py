"""Read and write files: whole or not at all; large ones in parts, with a journal."""

from xdeepr.io.files import (
    GRIB,
    NETCDF,
    ZARR,
    check_output,
    open_file,
    progress_bar,
    whole,
    write_file,
)
from xdeepr.io.identity import content_digest
from xdeepr.io.journal import is_unfinished
from xdeepr.io.periods import write_periods
from xdeepr.io.stopping import Terminated, terminated
from xdeepr.io.stores import write_zarr

__all__ = [
    "GRIB",
    "NETCDF",
    "ZARR",
    "Terminated",
    "check_output",
    "content_digest",
    "is_unfinished",
    "open_file",
    "progress_bar",
    "terminated",
    "whole",
    "write_file",
    "write_periods",
    "write_zarr",
]
