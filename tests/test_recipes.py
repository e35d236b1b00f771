"""The recipes of CONTRIBUTING.md do what they say: each is followed in a copy of the package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "CONTRIBUTING.md").read_text(encoding="utf-8")
RECIPES = {
    title: text
    for title, text in re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, flags=re.M)
    if "```python" in text
}
STEP = re.compile(
    r"^(?:(?P<where>In|At the end of) `(?P<file>[\w/.]+)`"
    r"|(?P<side>Above|Below) `(?P<line>[^`]+)`\s+in\s+`(?P<other>[\w/.]+)`"
    r"|(?P<check>Check it))"
    r"[^\n]*(?:\n[^\n`]+)*\n\n```python\n(?P<code>.*?)^```$",
    flags=re.M | re.S,
)
MOST_FILES = 2
"""One to write and one with the registry."""


def follow(steps: list[re.Match[str]], folder: Path) -> set[str]:
    """Make the edits of a recipe in a copy and return the files that were touched."""
    touched = set()
    for step in steps:
        if step["check"]:
            continue
        name = step["file"] or step["other"]
        file = folder / name
        text = file.read_text() if file.exists() else ""
        if step["where"] == "In":
            assert not file.exists(), f"{name} is there already"
            text = step["code"]
        elif step["where"]:
            text = f"{text.rstrip()}\n\n\n{step['code']}"
        else:
            line = f"{step['line']}\n"
            assert text.count(line) == 1, f"{name} has {text.count(line)} lines {line!r}"
            pair = (line, step["code"]) if step["side"] == "Below" else (step["code"], line)
            text = text.replace(line, "".join(pair))
        file.write_text(text)
        touched.add(name)
    return touched


def test_there_are_six_recipes() -> None:
    assert len(RECIPES) == 6


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe(title: str, tmp_path: Path) -> None:
    steps = list(STEP.finditer(RECIPES[title]))
    assert len(steps) == RECIPES[title].count("```python"), "a block that no step announces"
    package = tmp_path / "xdeepr"
    shutil.copytree(ROOT / "xdeepr", package, ignore=shutil.ignore_patterns("__pycache__"))
    assert len(follow(steps, tmp_path)) <= MOST_FILES
    (check,) = (step["code"] for step in steps if step["check"])
    where = f"import xdeepr; assert xdeepr.__file__.startswith({str(package)!r})\n"
    done = subprocess.run(
        [sys.executable, "-W", "error::SyntaxWarning", "-c", where + check],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
