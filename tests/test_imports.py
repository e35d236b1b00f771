"""The house rule: imports run one way, and `import xdeepr` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "xdeepr"

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


def type_checking_only(tree: ast.AST) -> set[ast.AST]:
    """Nodes under ``if TYPE_CHECKING:``: they never run, so they bind nothing."""
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Dotted names that a module imports; `lazy` counts those inside functions too."""
    tree = ast.parse(path.read_text())
    skipped = type_checking_only(tree)
    if not lazy:
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
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


def test_the_house_is_found() -> None:
    assert len(MODULES) >= 10, f"only {sorted(MODULES)} found under {PACKAGE}"


def test_the_parser_sees_each_kind_of_import(tmp_path: Path, monkeypatch) -> None:
    """The guard's own guard: a rule that sees no import would hold for ever."""
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "module.py"
    path.write_text(
        "import a.b\nfrom xdeepr import cf\nfrom ..grid import Grid\nfrom . import near\n"
        "if TYPE_CHECKING:\n    import never\ndef f():\n    from xdeepr.io import write\n"
    )
    eager = {"a.b", "xdeepr.cf", "xdeepr.grids.grid.Grid", "xdeepr.sub.near"}
    assert set(imports(path, lazy=False)) == eager
    assert set(imports(path)) == eager | {"xdeepr.io.write"}


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
