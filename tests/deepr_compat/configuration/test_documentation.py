"""The how-to page names every key there is, and marks those without effect."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from xdeepr.deepr_compat.configuration.schema import Configuration
from xdeepr.deepr_compat.configuration.section import ConfigurationSection, keys_of

PAGE = (Path(__file__).parents[3] / "docs/howto/configurations.md").read_text(encoding="utf-8")


def sections(
    section: type[ConfigurationSection], path: str = ""
) -> Iterator[tuple[str, type[ConfigurationSection], str]]:
    """Every key with its path and the class it stands in."""
    for key, below in keys_of(section).items():
        here = f"{path}.{key}".lstrip(".")
        yield here, section, key
        if below is not None:
            yield from sections(below, here)


KEYS = list(sections(Configuration))


def test_there_are_many_keys() -> None:
    assert len(KEYS) > 100


@pytest.mark.parametrize("key", sorted({key for _, _, key in KEYS}))
def test_every_key_is_on_the_page(key: str) -> None:
    assert f"`{key}`" in PAGE


@pytest.mark.parametrize("path", [path for path, _, _ in KEYS])
def test_keys_without_effect_are_marked(path: str) -> None:
    _, section, key = next(entry for entry in KEYS if entry[0] == path)
    field = next(f for name, f in section.model_fields.items() if key in (name, f.alias))
    extra = field.json_schema_extra
    if isinstance(extra, dict) and "no_counterpart" in extra:
        rows = [line for line in PAGE.splitlines() if f"`{key}`" in line]
        assert any("| none" in row for row in rows), f"{path} has no effect, the page is silent"
