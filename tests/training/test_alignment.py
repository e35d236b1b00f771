"""Predictors and labels brought together: what has a coarse twin, and what has none."""

from __future__ import annotations

from xdeepr.grids import gridded
from xdeepr.training.alignment import align


def test_labels_find_their_coarse_versions_by_name_and_standard_name(italy_lr, italy_hr):
    hr = italy_hr.assign(wind=(italy_hr.t2m * 0.1).assign_attrs(units="m s-1", standard_name="w"))
    z = (italy_lr.t2m * 9).assign_attrs(units="m2 s-2", standard_name="geopotential")
    speed = (italy_lr.t2m * 0.1).assign_attrs(units="km h-1", standard_name="w")
    aligned = align(gridded(italy_lr.assign(z=z, ff=speed)), gridded(hr), ["wind", "t2m"])
    assert [q.name for q in aligned.predictors] == ["t2m", "z", "ff"]
    assert aligned.base == (2, 0)
    # a coarse version is read in the units of its label
    assert [q.units for q in aligned.predictors] == ["K", "m2 s-2", "m s-1"]


def test_a_label_without_a_coarse_version_is_a_pair_without_base(italy_lr, italy_hr):
    rain = (italy_hr.t2m * 0).assign_attrs(units="mm day-1", standard_name="rainfall_flux")
    t2m = italy_lr.t2m.assign_attrs(standard_name="air_temperature")
    aligned = align(
        gridded(italy_lr.assign(t2m=t2m)), gridded(italy_hr.assign(rain=rain)), ["rain", "t2m"]
    )
    assert [q.name for q in aligned.predictands] == ["rain", "t2m"]
    assert aligned.base == (None, 0)
    assert aligned.hr.sizes["channel"] == 2
