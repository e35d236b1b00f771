"""The house rule: imports run one way, and `import xdeepr` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xdeepr"

RANKS = (
    {"errors", "_version"},
    {"checks"},
    {"cf", "tiling", "normalization"},
    {"grids", "sampling", "networks", "io", "datasets", "synthetic"},
    {"inputs"},
    {"models"},
    {"downscaling"},
    {"training", "verification"},
    {"plotting"},
    {"deepr_compat", "demo", "accessor", "testing"},
    {"cli"},
    {"xdeepr", "__main__"},
)
"""The house from the ground up: a room imports from lower floors only, also for types alone."""

TORCH_FREE = {"cf", "grids", "inputs", "io", "datasets", "synthetic", "plotting", "verification"}
"""What may be imported before there is a model, and so must not load torch at its top."""

HEAVY = ("torch", "diffusers", "transformers", "matplotlib", "xskillscore")


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name below ``xdeepr`` ("xdeepr" for its __init__)."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] == "__init__":
            parts = parts[:-1]
        found[".".join(parts) or "xdeepr"] = path
    return found


MODULES = modules()


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Dotted names that a module imports, for types too; `lazy` counts those inside functions."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    if not lazy:
        for node in ast.walk(tree):
            # what stands under `if TYPE_CHECKING:` never runs
            types_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if types_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                skipped.update(ast.walk(node))
    package = ("xdeepr", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            source = ".".join((*base, *([node.module] if node.module else [])))
            # `from xdeepr import cf` names the module in its aliases.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def targets(path: Path, **options: bool) -> set[str]:
    """Modules of the package that a module imports; a name of a module stands for the module."""
    found = set()
    for name in imports(path, **options):
        inner = name.removeprefix("xdeepr").lstrip(".")
        if name.split(".")[0] != "xdeepr":
            continue
        outer = inner.rpartition(".")[0]
        found.add(inner if inner in MODULES else outer if outer in MODULES else "xdeepr")
    return found


GRAPH = {name: targets(path) - {name} for name, path in MODULES.items()}


def room(name: str) -> str:
    """What stands at the top of the package: networks.unet is in networks."""
    return name.split(".")[0]


RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}


def on_a_circle(graph: dict[str, set[str]]) -> set[str]:
    """Modules from which imports lead back to themselves: what is left when leaves are taken."""
    left = {name: set(out) for name, out in graph.items()}
    while ends := [name for name, out in left.items() if not out & left.keys()]:
        for name in ends:
            del left[name]
    # and what only leads to a circle
    while starts := left.keys() - {n for out in left.values() for n in out}:
        for name in starts:
            del left[name]
    return set(left)


def test_the_house_is_found() -> None:
    assert len(MODULES) >= 10, f"only {sorted(MODULES)} found under {PACKAGE}"


def test_the_parser_sees_each_kind_of_import(tmp_path: Path, monkeypatch) -> None:
    """The guard's own guard: a rule that sees no import would hold for ever."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "module.py"
    path.write_text(
        "import a.b\nfrom xdeepr import cf\nfrom ..grid import Grid\nfrom . import near\n"
        "if TYPE_CHECKING:\n    import a.never\ndef f():\n    from xdeepr.io import write\n"
    )
    eager = {"a.b", "xdeepr.cf", "xdeepr.grid.Grid", "xdeepr.sub.near"}
    assert set(imports(path, lazy=False)) == eager
    assert set(imports(path)) == eager | {"a.never", "xdeepr.io.write"}


def test_nothing_stands_at_the_top_that_has_no_floor() -> None:
    assert {room(name) for name in MODULES} - RANK.keys() == set()


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_down(name: str) -> None:
    up = {
        other
        for other in GRAPH[name]
        if room(other) != room(name) and RANK[room(other)] >= RANK[room(name)]
    }
    # the front door names what it opens: all of it on lower floors
    assert up == set()


def test_there_is_no_circle() -> None:
    assert on_a_circle(GRAPH) == set()


def test_circles_are_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": set()}
    assert on_a_circle(graph) == {"b", "c"}


@pytest.mark.parametrize("name", [n for n in MODULES if room(n) in ("networks", "sampling")])
def test_networks_and_samplers_know_no_xarray(name: str) -> None:
    outside = {found.split(".")[0] for found in imports(MODULES[name])}
    assert outside & {"xarray", "dask", "pandas", "cf_xarray", "pint_xarray"} == set()


@pytest.mark.parametrize("name", [n for n in MODULES if room(n) in TORCH_FREE])
def test_torch_waits_for_a_model(name: str) -> None:
    eager = {found.split(".")[0] for found in imports(MODULES[name], lazy=False)}
    assert eager & {"torch", "diffusers"} == set()


def test_import_leaves_heavy_libraries_alone() -> None:
    code = (
        "import sys, xdeepr\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])\n"
        "import xarray\n"
        "xarray.Dataset().deepr, xarray.DataArray(0.0).deepr"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__main__"])
def test_modules_import_heavy_libraries_lazily_or_not_at_all(name: str) -> None:
    """Only plain-torch modules may import torch at their top; they are loaded inside functions."""
    eager = {found.split(".")[0] for found in imports(MODULES[name], lazy=False)}
    assert eager & {"matplotlib", "cartopy", "xskillscore", "transformers"} == set()


def test_modules_stay_short() -> None:
    long = {name: len(path.read_text().splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in long.items() if lines > 500} == {}


def test_functions_stay_short() -> None:
    """At most 50 lines of code; the docstring is not counted."""
    long = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                body = node.body[1:] if ast.get_docstring(node) and node.body[1:] else node.body
                lines = node.end_lineno - body[0].lineno + 1
                if lines > 50:
                    long.append(f"{name}.{node.name}: {lines} lines")
    assert long == []
