"""The wheel holds every module and data file of the tree, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Suffixes of files that the package reads at run time.
DATA_SUFFIXES = {".txt", ".json", ".safetensors", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built without network from a copy so that the working tree stays clean."""
    copy = tmp_path_factory.mktemp("source") / "xdeepr"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    shutil.copytree(
        ROOT / "xdeepr", copy / "xdeepr", ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    out = tmp_path_factory.mktemp("dist")
    result = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


def in_tree(suffixes: set[str]) -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "xdeepr").rglob("*")
        if path.suffix in suffixes and "__pycache__" not in path.parts
    } | ({"xdeepr/py.typed"} if ".typed" in suffixes else set())


def test_wheel_holds_every_module(wheel: zipfile.ZipFile) -> None:
    modules = in_tree({".py"})
    assert len(modules) >= 10, "the tree was not found"
    assert modules <= set(wheel.namelist())


def test_every_folder_of_modules_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "xdeepr").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_wheel_holds_the_data_files(wheel: zipfile.ZipFile) -> None:
    data = in_tree(DATA_SUFFIXES)
    assert {"xdeepr/py.typed", "xdeepr/registry.txt"} <= data
    assert data <= set(wheel.namelist())


def test_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    strangers = [
        name
        for name in wheel.namelist()
        if not name.startswith(("xdeepr/", "xdeepr-")) or "__pycache__" in name
    ]
    assert strangers == []


def test_metadata(wheel: zipfile.ZipFile) -> None:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = message_from_string(wheel.read(name).decode())
    version = re.search(r'__version__ = "(.+)"', (ROOT / "xdeepr" / "_version.py").read_text())
    assert version is not None
    assert metadata["Version"] == version[1]
    assert metadata["License-Expression"] == "Apache-2.0"
    extras = set(metadata.get_all("Provides-Extra", []))
    assert {"all", "plot", "geo", "grib", "zarr", "speed", "test", "docs", "dev"} <= extras
    entry_points = name.replace("METADATA", "entry_points.txt")
    assert "xdeepr = xdeepr.cli:main" in wheel.read(entry_points).decode()


def test_wheel_stays_small(wheel: zipfile.ZipFile) -> None:
    size = sum(info.compress_size for info in wheel.infolist())
    assert size < 10e6, f"{size / 1e6:.1f} MB: has a data file slipped in?"


def test_environment_files_name_every_dependency() -> None:
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in ("plot", "geo", "grib", "zarr", "speed", "test", "lint", "docs"):
        wanted += project["optional-dependencies"][extra]
    conda_names = {"torch": "pytorch", "matplotlib": "matplotlib-base", "build": "python-build"}
    conda_names["eccodes"] = "python-eccodes"
    conda = (ROOT / "environment.yml").read_text().lower()
    pinned = (ROOT / "constraints.txt").read_text().lower().replace("_", "-")
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        plain = name[0].lower()
        assert f"- {conda_names.get(plain, plain)} >=" in conda, f"{plain}: not in environment.yml"
        assert f"\n{plain.replace('_', '-')}==" in pinned, f"{plain}: not in constraints.txt"


def test_citation_names_the_version() -> None:
    version = re.search(r'__version__ = "(.+)"', (ROOT / "xdeepr" / "_version.py").read_text())
    assert version is not None
    assert f"\nversion: {version[1]}\n" in (ROOT / "CITATION.cff").read_text()
