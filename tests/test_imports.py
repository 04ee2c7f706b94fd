"""The order of the packages: benchmarks -> agents -> offload_gym, and what offload_gym needs."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structure

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "stable_baselines3", "pandas", "matplotlib", "networkx", "pydot", "tqdm", "joblib", "ray", "dask")
HEAVY += ("pettingzoo", "pygame", "distributed", "minari", "h5py", "pyarrow", "agents", "benchmarks")
REQUIRED = {"gymnasium", "llvmlite", "numba", "numpy"}
OPTIONAL = {"torch", "stable_baselines3", "pandas"}  # nowhere in offload_gym, but for:
# What reads a torch model, for those who have one.
ALLOWED = {f"offload_gym/applications/{name}.py": {"torch"} for name in ("operations", "tracing")}
# What offload_gym/interop/NAME.py adapts to, where NAME is not its library.
ADAPTED = {"parquet": "pyarrow", "pettingzoo_streams": "pettingzoo", "sb3": "stable_baselines3"}


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


def test_nothing_is_compiled_by_an_import(tmp_path):
    """It would take seconds, and Ctrl-C would be lost where LLVM calls Python."""
    program = """
import pkgutil, sys
import numba
from numba.core import event
compiled = []
class Recorder(event.Listener):
    def on_start(self, begun): compiled.append(begun.data["dispatcher"].py_func.__qualname__)
    def on_end(self, ended): pass
event.register("numba:compile", Recorder())
import agents, benchmarks, offload_gym
for package in (offload_gym, agents, benchmarks):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            __import__(module.name)
        except ImportError:  # what belongs to an extra
            pass
assert "benchmarks.workflows" in sys.modules
imported = list(compiled)
numba.njit(lambda x: x)(1)  # which is noticed
print(imported, len(compiled) - len(imported))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("[] 1\n", 0), done.stderr


@pytest.mark.parametrize(
    ("package", "barred"), [("offload_gym", {"agents", "benchmarks", "tests"}), ("agents", {"benchmarks", "tests"})]
)
def test_imports_run_one_way(package, barred):
    for path, tree in sources(package).items():
        assert not imported_packages(tree) & barred, path


def adapted_libraries(path: str) -> set[str]:
    """The library that a module of ``offload_gym.interop`` is the adapter to."""
    module = Path(path)
    if module.parent != Path("offload_gym/interop") or module.stem == "__init__":
        return set()
    return {ADAPTED.get(module.stem, module.stem)}


def test_offload_gym_needs_only_what_it_declares():
    allowed = REQUIRED | set(sys.stdlib_module_names) | {"offload_gym"}
    for path, tree in sources("offload_gym").items():
        # Optional packages may be imported where they are needed: inside functions, or for type checkers only. An
        # adapter is needed only by those who have its library.
        adapted = adapted_libraries(path)
        assert imported_packages(run_at_import(tree)) <= allowed | adapted, path
        in_use = ast.Module([node for node in tree.body if not is_for_type_checkers(node)], [])
        assert not imported_packages(in_use) & OPTIONAL - ALLOWED.get(path, set()) - adapted, path


def test_nothing_imports_an_adapter_unasked():
    found = {path: tree for path, tree in sources("offload_gym").items() if adapted_libraries(path)}
    assert {"offload_gym/interop/minari.py", "offload_gym/interop/sb3.py"} <= found.keys()
    for path, tree in sources("offload_gym").items():
        if path not in found:
            assert "interop" not in ast.unparse(run_at_import(tree)), path
    (docstring,) = sources("offload_gym")["offload_gym/interop/__init__.py"].body
    assert isinstance(docstring, ast.Expr)


def test_an_adapter_says_which_extra_it_needs():
    for path in sources("offload_gym"):
        if not adapted_libraries(path):
            continue
        name = Path(path).stem
        extra = name.removesuffix("_streams")  # of the same library
        (library,) = adapted_libraries(path)
        program = f"import sys; sys.modules[{library!r}] = None; import offload_gym.interop.{name}"
        result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert f"pip install 'offload-gym[{extra}]'" in result.stderr, path


def run_at_import(tree: ast.Module) -> ast.Module:
    """The imports of a module that run when it is imported: those of its top level, in try blocks too."""
    body = [part for node in tree.body for part in (node.body if isinstance(node, ast.Try) else [node])]
    return ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def test_the_picture_of_the_house_is_true():
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    picture = text.split("```text\n")[1].split("```")[0]
    floors = {name: int(line.split()[0]) for line in picture.splitlines() for name in line.split()[1:]}
    texts = {path: text for path, text in structure.sources().items() if path.startswith("offload_gym/")}
    drawn = {path: structure.room(path).removeprefix("offload_gym/").removesuffix(".py") for path in texts}
    faces = {"__init__", "__main__"}
    assert set(drawn.values()) - faces == floors.keys()
    for source, target in structure.arrows(texts):
        above, below = drawn[source], drawn[target]
        if above != below and above not in faces:
            assert floors[above] > floors[below], f"{source} imports {target}"


def test_imports_are_found_wherever_they_stand():
    tree = ast.parse("import a.b\nfrom c.d import e\ndef f():\n    from g import h\nfrom . import i\n")
    assert imported_packages(tree) == {"a", "c", "g"}
