"""The code of the README and of the documentation runs, on small data and with few steps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import xarray as xr

from xdeepr import cli, synthetic
from xdeepr.models.find import shipped_names
from xdeepr.sampling import diffusers_table, solvers
from xdeepr.sampling.samplers import ALIASES

ROOT = Path(__file__).parents[1]
HOWTO = sorted((ROOT / "docs" / "howto").glob("*.md"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *HOWTO]
RECIPES = ROOT / "docs" / "CONTRIBUTING.md"
"""Names files that its reader writes; `tests/test_recipes.py` follows it."""

# What a reader has time for, and what a test has. The README must hold each of these.
README_SHORTCUTS = {
    'max_time="15min"': 'max_steps=5, batch_size=4, network={"block_out_channels": (8, 16)}',
    '"2022-06-08", "2022-06-17"': '"2022-06-08", "2022-06-08"',
    'slice("2022-06-19", None)': 'slice("2022-06-30T12", None)',
    "members=10": "members=3",
}


def code_of(page: Path) -> str:
    """The Python blocks of a page as one program, each line where it stands in the page."""
    lines, inside = [], False
    for line in page.read_text().splitlines():
        fence = line.strip()
        if fence.startswith("```"):
            inside = fence == "```python"
            lines.append("")
        else:
            lines.append(line if inside else "")
    return "\n".join(lines)


def shorten(code: str, shortcuts: dict[str, str]) -> str:
    for long, short in shortcuts.items():
        assert long in code, f"{long!r} is no longer on the page: adapt the shortcut"
        code = code.replace(long, short)
    return code


def run(code: str, page: Path, names: dict[str, Any]) -> dict[str, Any]:
    """Run a program so that a traceback shows the line of the page."""
    exec(compile(code, str(page), "exec"), names)
    return names


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, where the pages may write."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def need_shipped() -> Callable[[str], None]:
    def check(code: str) -> None:
        if '"ddpm"' in code and "ddpm" not in shipped_names():
            pytest.skip("the checkpoint 'ddpm' is not in the package: make it with examples/")

    return check


def test_readme_opens_with_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"make demo.*\n.*make test", text[:200])


def test_readme_runs_from_top_to_bottom(
    data_dir: Path,
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    need_shipped: Callable[[str], None],
) -> None:
    monkeypatch.setenv("XDEEPR_DATA_DIR", str(data_dir))
    fine = xr.open_dataset(data_dir / "era5" / "era5_t2m_italy_3h_20220501_20220630.nc")
    fine = fine.isel(time=slice(24), latitude=slice(20), longitude=slice(20))
    fine.to_netcdf("fine.nc")
    fine.deepr.coarsen(5).to_netcdf("coarse.nc")
    page = ROOT / "README.md"
    code = shorten(code_of(page), README_SHORTCUTS)
    before, shipped, after = code.rpartition("out = lr.deepr.downscale")
    assert '"ddpm"' in after
    names = run(before, page, {})
    assert names["model"].card.factor == 4
    assert names["one"].t2m.sizes == {"latitude": 40, "longitude": 48}
    assert {"t2m-x4", "bicubic"} == set(names["scores"].system.values)
    assert all((workplace / name).stat().st_size > 0 for name in ("italy.png", "scores.png"))
    with xr.open_dataset("downscaled.nc") as written:
        assert written.t2m.sizes["realization"] == 3
        assert bool(written.t2m.notnull().all())
    need_shipped(after)
    assert run(shipped + after, page, names)["out"].sizes["realization"] == 4


@pytest.fixture(scope="module")
def small_model() -> tuple[Any, ...]:
    """LR, HR, statics of the synthetic island and a model of two steps for the pages to use."""
    climate = synthetic.SyntheticClimate(shape=(32, 32))
    lr, hr = climate.sample(np.datetime64("2001-07-01T00") + np.arange(0, 24, 3), seed=0)
    statics = climate.statics()
    model = lr.deepr.fit(
        hr,
        covariates=statics,
        max_steps=2,
        batch_size=4,
        network={"block_out_channels": (8, 16)},
        progress=False,
    )
    return lr, hr, statics, model


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES[1:] if page != RECIPES and "```python" in page.read_text()],
    ids=lambda p: p.stem,
)
def test_documentation_runs(
    page: Path,
    workplace: Path,
    small_model: tuple[Any, ...],
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    need_shipped: Callable[[str], None],
) -> None:
    """Each page runs by itself, given what its readers have: data, statics and a model."""
    monkeypatch.setenv("XDEEPR_DATA_DIR", str(data_dir))
    code = code_of(page)
    need_shipped(code)
    lr, hr, statics, model = small_model
    lr.to_netcdf("coarse.nc")
    hr.to_netcdf("fine.nc")
    statics.to_netcdf("statics.nc")
    model.save("my-model")
    start = "import xarray as xr\nimport xdeepr\n"
    names = run(start, page, {"lr": lr, "hr": hr, "statics": statics, "model": model})
    with patch.dict(solvers.SOLVERS):  # a page may add one of its own
        run(code, page, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    local = [target for target in targets if "://" not in target]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert missing == [], f"{page.name} points to files that do not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_that_are_shown_can_be_parsed(page: Path) -> None:
    for command in re.findall(r"^\$ xdeepr (.+)$", page.read_text(), flags=re.MULTILINE):
        cli._parser().parse_args(shlex.split(command))


def test_every_solver_is_described() -> None:
    text = (ROOT / "docs" / "howto" / "samplers.md").read_text()
    names = (*diffusers_table.SOLVERS, *solvers.SOLVERS, *ALIASES)
    assert [name for name in names if f"`{name}`" not in text] == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != RECIPES], ids=lambda p: p.stem)
def test_files_of_the_project_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:tests|xdeepr|benchmarks|examples)/[\w/.]+\w)`", page.read_text()))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
