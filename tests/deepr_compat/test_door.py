"""The rest of the package reaches what is DeepR's through one door."""

from __future__ import annotations

import ast

import pytest

from tests.test_imports import MODULES, imports, room
from xdeepr import deepr_compat
from xdeepr.models.foreign import FOREIGN

DOOR = "xdeepr.deepr_compat"
OUTSIDE = {name: path for name, path in MODULES.items() if room(name) != "deepr_compat"}
REGISTERED = {"models.foreign", "xdeepr"}
"""Modules that hold the name of the door as text: the registered one, and the lazy front door."""


@pytest.mark.parametrize("name", OUTSIDE)
def test_imports_take_the_door(name):
    inside = [i for i in imports(OUTSIDE[name]) if i == DOOR or i.startswith(f"{DOOR}.")]
    assert {i.removeprefix(f"{DOOR}.") for i in inside} <= set(deepr_compat.__all__)


@pytest.mark.parametrize("name", OUTSIDE)
def test_names_as_text_are_the_doors_own(name):
    texts = {
        node.value
        for node in ast.walk(ast.parse(OUTSIDE[name].read_text()))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and node.value.startswith(DOOR)
    }
    assert texts <= ({DOOR} if name in REGISTERED else set())


def test_models_ask_the_registered_name_for_two_things():
    assert FOREIGN == DOOR
    asked = {
        node.attr
        for path in OUTSIDE.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value) == "foreign()"
    }
    assert asked == {"is_legacy", "from_deepr"}


def test_the_door_opens():
    assert all(callable(getattr(deepr_compat, name)) for name in deepr_compat.__all__)
    with pytest.raises(AttributeError, match="no attribute 'read_scale'"):
        deepr_compat.read_scale  # noqa: B018
