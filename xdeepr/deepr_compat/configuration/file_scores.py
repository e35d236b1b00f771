"""Scores of files that hold predictions already: DeepR's section ``validation``."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from xdeepr import cf
from xdeepr.deepr_compat.configuration.data import LabelConfiguration
from xdeepr.deepr_compat.configuration.files import find_files, joined
from xdeepr.deepr_compat.configuration.scoring import MAPS, SCORES, TABLE
from xdeepr.deepr_compat.configuration.validation import FileValidation
from xdeepr.errors import VariableError
from xdeepr.io import check_output, open_file, whole, write_file


def score_files(
    section: FileValidation,
    notes: list[str],
    written: list[Path],
    *,
    overwrite: bool,
    progress: bool,
) -> xr.Dataset:
    """Score predictions in files against observations in files.

    Parameters
    ----------
    section : FileValidation
        Where they are, and what they are called.
    notes : list of str
        Gets a line where units were taken from the observations.
    written : list of pathlib.Path
        Gets the files.
    overwrite, progress : bool
        Replace files; show a progress bar.

    Returns
    -------
    xarray.Dataset
        See :func:`xdeepr.verify`.

    Raises
    ------
    DataUnavailableError, VariableError
        If files or variables are missing.
    """
    from xdeepr.verification import score_table, verify

    folder = Path(section.validation_dir)
    for name in (SCORES, MAPS):
        check_output(folder / name, overwrite=overwrite)
    truth = _open(section.observations_location)
    predictions = _like(_open(section.model_predictions_location), truth, section.model_name, notes)
    baseline = None
    if section.baseline_predictions_location is not None:
        baseline = _like(
            _open(section.baseline_predictions_location), truth, section.baseline_name, notes
        )
    scores = verify(predictions, truth, baseline=baseline, progress=progress)
    time = cf.find_axes(predictions).time
    written.append(write_file(scores, folder / SCORES, overwrite=overwrite))
    if time is not None:
        maps = verify(predictions, truth, baseline=baseline, dim=time)
        written.append(write_file(maps, folder / MAPS, overwrite=overwrite))
    with whole(folder / TABLE) as scratch:
        scratch.write_text(score_table(scores) + "\n", encoding="utf-8")
    written.append(folder / TABLE)
    return scores


def _open(location: str) -> xr.Dataset:
    """Open all files of a place as one dataset along time."""
    anywhere = LabelConfiguration.model_validate({"variable": "any", "data_location": location})
    parts = [open_file(path) for path in find_files(anywhere, "any").paths]
    return parts[0] if len(parts) == 1 else joined(parts, f"in {location}")


def _like(ds: xr.Dataset, truth: xr.Dataset, name: str, notes: list[str]) -> xr.Dataset:
    """Name a prediction like the observation; DeepR calls it "prediction" and gives no units."""
    ours = cf.spatial_variables(ds, cf.find_axes(ds))
    theirs = cf.spatial_variables(truth, cf.find_axes(truth))
    if not ours or not theirs:
        raise VariableError(f"validation: the files of {name!r} or the observations hold no field.")
    if len(ours) == len(theirs) == 1 and ours != theirs:
        ds = ds.rename({ours[0]: theirs[0]})
        ours = theirs
    for variable in ours:
        if "units" not in ds[variable].attrs and variable in theirs:
            units = truth[variable].attrs.get("units")
            ds[variable] = ds[variable].assign_attrs({**truth[variable].attrs})
            notes.append(f"{variable!r} of {name!r} has no units; those of the observations"
                         f" ({units}) are taken")  # fmt: skip
    return ds.assign_attrs(xdeepr_model=name)
