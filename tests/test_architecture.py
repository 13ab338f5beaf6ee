"""The house rules that hold the packages apart."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("evalcore", "runners", "arena", "leaderboards", "reports")
MAY_IMPORT = {
    "evalcore": set(),
    "runners": {"evalcore"},
    "arena": {"evalcore"},
    "leaderboards": {"evalcore"},
    "reports": {"evalcore", "leaderboards"},
}
ONLY_IN = {
    "torch": "runners",
    "transformers": "runners",
    "peft": "runners",
    "mlflow": "leaderboards",
}
ONLY_IN |= {"gradio": "arena", "openai": "runners", "ray": "runners"}
HEAVY = {"torch", "transformers", "gradio", "mlflow", "matplotlib", "numpy", "pandas", "scipy"}


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def is_leaf(path: Path) -> bool:
    return path.name in ("cli.py", "__main__.py")


def imported(path: Path) -> set[str]:
    """Full names of all modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path):
    package = path.relative_to(ROOT).parts[0]
    roots = {name.split(".")[0] for name in imported(path)}
    ours = roots & set(PACKAGES) - {package}
    assert is_leaf(path) or ours <= MAY_IMPORT[package]
    assert all(ONLY_IN[name] == package for name in roots & set(ONLY_IN))


def test_nobody_imports_a_leaf():
    files = [path.relative_to(ROOT) for path in modules() if path.name == "cli.py"]
    leaves = {".".join(file.with_suffix("").parts) for file in files}
    for path in modules():
        if path.name != "__main__.py":
            assert not imported(path) & leaves, path


def test_packages_are_ours_and_not_namesakes():
    for package in PACKAGES:
        assert Path(import_module(package).__file__).parent == ROOT / package


def test_no_module_is_named_like_one_of_the_standard_library():
    names = {path.stem for path in modules()} - {"__init__", "__main__"}
    assert not names & sys.stdlib_module_names


def test_help_loads_no_heavy_package():
    code = f"""
import sys
sys.argv = ["parity", "--help"]
from evalcore.__main__ import main
try:
    main()
except SystemExit as end:
    assert end.code == 0
print(sorted({sorted(HEAVY)!r} & sys.modules.keys()), file=sys.stderr)
"""
    code = code.replace(f"{sorted(HEAVY)!r} &", f"set({sorted(HEAVY)!r}) &")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "eval" in done.stdout
