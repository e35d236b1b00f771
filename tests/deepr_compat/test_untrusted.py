"""Data of strangers: what is read, what is refused, and what the errors say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdeepr.deepr_compat.untrusted import (
    MOST_DEPTH,
    Count,
    Positive,
    Section,
    check_extent,
    read_json,
    read_text,
    validated,
)
from xdeepr.errors import CheckpointError, OptionError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)  # fmt: skip


@given(data=st.dictionaries(st.text(), PLAIN, max_size=4))
def test_what_python_writes_is_read(data, tmp_path_factory):
    file = tmp_path_factory.mktemp("json") / "config.json"
    file.write_text(json.dumps(data))
    assert read_json(file) == data


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice"),
        ('{"a": NaN}', "'a' is nan, which is not a finite number"),
        ('{"a": Infinity}', "'a' is inf"),
        ('{"low": NaN}', "'low' is nan"),
        ('{"a": {"b": [1, -Infinity]}}', "a list holds a number that is not finite"),
        ('{"low": [-Infinity]}', "a list holds"),
        ('{"low": 1e999}', "1e999 is not a finite number"),
        ("[" * 50 + "]" * 50, "more than 40 levels"),
        ('{"a":' * 50 + "1" + "}" * 50, "more than 40 levels"),
        ("[" * 10**5, "recursion"),
        ('{"a": ' + "9" * 5000 + "}", "integer"),
        ("[1]", "holds a list where an object is needed"),
        ("{", "no valid JSON"),
    ],
)
def test_text_that_is_refused(text, words, tmp_path):
    file = tmp_path / "config.json"
    file.write_text(text)
    with pytest.raises(CheckpointError, match=rf"config\.json.*{words}.*copy the checkpoint again"):
        read_json(file, infinite=("low",))


def test_infinity_where_a_library_writes_it(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"low": -Infinity, "inner": {"low": Infinity}}')
    assert read_json(file, infinite=("low",)) == {
        "low": float("-inf"), "inner": {"low": float("inf")},
    }  # fmt: skip
    with pytest.raises(CheckpointError, match="'low' is -inf"):
        read_json(file)


def test_files_that_are_too_long_or_no_text(tmp_path):
    file = tmp_path / "run.yml"
    options: dict[str, Any] = {"most": 10, "error": OptionError, "cure": "check the name"}
    with pytest.raises(OptionError, match=r"run\.yml is missing: check the name"):
        read_text(file, **options)
    file.write_bytes(b"12345678901")
    with pytest.raises(OptionError, match=r"run\.yml has 11 bytes.*check the name"):
        read_text(file, **options)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(OptionError, match=r"run\.yml cannot be read.*check the name"):
        read_text(file, **options)


def test_references_count_as_often_as_they_are_made():
    """Ten lists of ten references to each other stand for ten thousand million values."""
    value: Any = 0
    for _ in range(10):
        value = [value] * 10
    with pytest.raises(ValueError, match="more than 1,000 values"):
        check_extent(value, values=1000)
    flat = [0] * 1000
    check_extent(flat, values=1000)
    with pytest.raises(ValueError, match="more than 999"):
        check_extent(flat, values=999)
    with pytest.raises(ValueError, match="more than 3 values"):
        check_extent({"a": 1, "b": 2}, values=3)  # keys too


def test_depth_has_an_end():
    value: Any = 0
    for _ in range(MOST_DEPTH):
        value = {"inner": value}
    check_extent(value, values=1000)
    with pytest.raises(ValueError, match="more than 40 levels"):
        check_extent([value], values=1000)
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="levels within each other"):
        check_extent(endless, values=10**6)


class Inner(Section):
    rate: Positive = 1.0


class Outer(Section):
    steps: Count
    names: tuple[str, ...] = ()
    inner: Inner = Inner()


def test_all_that_is_wrong_is_named_at_once():
    data = {"steps": True, "nmaes": 1, "inner": {"rate": 0, "extra": 1}, "names": ["a", 1]}
    with pytest.raises(OptionError) as raised:
        validated(Outer, data, "run.yml", error=OptionError, cure="Correct the file")
    first, *lines = str(raised.value).splitlines()
    assert first == "run.yml has 5 errors. Correct the file."
    for words in (
        "steps: should be a valid integer (given: True)",
        "nmaes: unknown key. Nearest: 'names'.",
        "inner.rate: should be greater than 0 (given: 0)",
        "inner.extra: unknown key. It may change",
        "names.1: should be a valid string (given: 1)",
    ):
        assert any(line.strip().startswith(words) for line in lines), words


def test_one_error_is_one_line():
    with pytest.raises(CheckpointError, match=r"^x\.json: steps: missing\. The file is damaged"):
        validated(Outer, {}, "x.json")
    with pytest.raises(CheckpointError, match=r"^x: b: unknown key\. see \['b'\]\.$") as raised:
        validated(Outer, {"steps": 1, "b": 2}, "x", advice=lambda path: f"see {path}")
    assert "damaged" not in str(raised.value)


def test_endless_and_unprintable_keys_stay_short():
    with pytest.raises(CheckpointError) as raised:
        validated(Outer, {"steps": "9" * 10**6, "\x1b[31m" + "k" * 10**6: 1}, "x.json")
    assert len(str(raised.value)) < 2000
    assert "\x1b" not in str(raised.value)
