"""The order of the packages: benchmarks -> agents -> offload_gym, and what offload_gym needs."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "stable_baselines3", "pandas", "matplotlib", "networkx", "pydot", "tqdm", "joblib", "ray", "dask")
HEAVY += ("distributed", "agents", "benchmarks")
REQUIRED = {"gymnasium", "llvmlite", "numba", "numpy"}


def imported_packages(tree: ast.AST) -> set[str]:
    """Top-level names of all absolute imports, those inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def sources(package: str) -> dict[str, ast.Module]:
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    return {str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def test_import_is_light():
    program = f"import offload_gym, sys; print([name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "barred"), [("offload_gym", {"agents", "benchmarks", "tests"}), ("agents", {"benchmarks", "tests"})]
)
def test_imports_run_one_way(package, barred):
    for path, tree in sources(package).items():
        assert not imported_packages(tree) & barred, path


def test_offload_gym_needs_only_what_it_declares():
    allowed = REQUIRED | set(sys.stdlib_module_names) | {"offload_gym"}
    for path, tree in sources("offload_gym").items():
        # Optional packages may be imported where they are needed: inside functions, or for type checkers only.
        at_import = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert imported_packages(ast.Module(at_import, [])) <= allowed, path
        barred = {"torch", "stable_baselines3", "pandas"}
        if path == "offload_gym/tracing.py":  # reads a torch model, for those who have one
            barred.remove("torch")
        in_use = ast.Module([node for node in tree.body if not is_for_type_checkers(node)], [])
        assert not imported_packages(in_use) & barred, path


def is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_imports_are_found_wherever_they_stand():
    tree = ast.parse("import a.b\nfrom c.d import e\ndef f():\n    from g import h\nfrom . import i\n")
    assert imported_packages(tree) == {"a", "c", "g"}
