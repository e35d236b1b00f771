"""Models that are kept for workers: whole or not at all, and once."""

from __future__ import annotations

from pathlib import Path

import pytest

from xdeepr.models.cache import store
from xdeepr.models.stored_arrays import CARD


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDEEPR_CACHE_DIR", str(tmp_path))
    return tmp_path / "models"


def test_a_cache_that_has_the_model_is_not_written_to(small_model, cache):
    """It may be shared and read-only."""
    first = store(small_model)
    touched = cache.stat().st_mtime_ns
    assert store(small_model) == first
    assert cache.stat().st_mtime_ns == touched
    assert [entry.name for entry in cache.iterdir()] == [first[1]]


def test_a_folder_left_without_a_card_is_replaced(small_model, cache):
    (cache / "mine").mkdir(parents=True)
    (cache / "mine" / "half").write_text("")
    folder, _ = store(small_model, "mine")
    assert (folder / CARD).is_file() and not (folder / "half").exists()
    assert [entry.name for entry in cache.iterdir()] == ["mine"]
