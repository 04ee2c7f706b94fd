"""The package works where others put it: odd paths, read-only, another user, one core, any options."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "offload_gym"
# Uses kernels of all kinds, prints a digest of what they give, and reads and writes files.
SCRIPT = """
import hashlib, sys, tempfile
from pathlib import Path
import gymnasium as gym
import numpy as np
import offload_gym

digest = hashlib.sha256()
instances = offload_gym.sample_instances("default", 20, seed=1)
digest.update(offload_gym.solve(instances).decisions.tobytes())
digest.update(offload_gym.make_policy("student").decide(instances).tobytes())
streams = offload_gym.sample_streams({"name": "stream", "num_jobs": 20}, 3, seed=1)
digest.update(offload_gym.play(streams, offload_gym.make_stream_policy("student")).response_s.tobytes())
env = gym.make("offload_gym/Sequential-v0", scenario="default")
observation, _ = env.reset(seed=0)
for k in (0, 1, 2, 2, 1, 0, 2, 2):
    observation, reward, *_ = env.step(k)
    digest.update(np.float64(reward).tobytes())
path = Path(tempfile.mkdtemp()) / "mein Netz.h"
digest.update(str(offload_gym.export_c(offload_gym.make_policy("student"), path)).encode())
digest.update(path.read_bytes())
print(digest.hexdigest(), Path(offload_gym.__file__).parent)
"""
# Of others' packages: what they say is not ours to mend.
STRICT = ["-W", "error", "-W", "ignore::DeprecationWarning:gymnasium", "-W", "ignore::ImportWarning"]
USER = "nobody"


def other_user():
    """Keywords of a subprocess that is another user's, with none of the groups of this one."""
    import pwd

    return {"user": USER, "group": pwd.getpwnam(USER).pw_gid, "extra_groups": []}


def digest_of(folder, *options, **keywords):
    """What the script prints with the package of a folder, and where that package is."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}
    environment |= keywords.pop("environment", {})
    command = [sys.executable, *options, "-c", SCRIPT]
    done = subprocess.run(
        command, cwd="/", env=environment, capture_output=True, text=True, encoding="utf-8", timeout=900, **keywords
    )
    assert done.returncode == 0, done.stderr
    found, where = done.stdout.strip().split(" ", 1)
    assert Path(where).parent == Path(folder)
    return found, done.stderr


@pytest.fixture(scope="module")
def expected():
    return digest_of(PACKAGE.parent)[0]


@pytest.mark.parametrize(
    "options",
    [
        ["-O"],
        STRICT,
        ["-X", "utf8=0"],
        pytest.param(["-OO"], marks=pytest.mark.slow),  # kernels without docstrings are others, and compiled anew
    ],
)
def test_options_of_the_interpreter_change_nothing(options, expected):
    assert digest_of(PACKAGE.parent, *options) == (expected, "")


def test_one_core_gives_the_same(expected):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("this system does not bind a process to a core")
    core = min(os.sched_getaffinity(0))
    assert digest_of(PACKAGE.parent, preexec_fn=lambda: os.sched_setaffinity(0, {core}))[0] == expected


def test_a_locale_without_letters_beyond_ascii_changes_nothing(expected):
    assert digest_of(PACKAGE.parent, environment={"LC_ALL": "C", "PYTHONUTF8": "0"})[0] == expected


@pytest.mark.slow
def test_a_path_with_spaces_and_other_letters(expected, tmp_path):
    folder = tmp_path / "mit Leerzeichen é 中"
    shutil.copytree(PACKAGE, folder / "offload_gym")
    assert digest_of(folder)[0] == expected


@pytest.mark.slow
def test_another_user_with_a_read_only_install(expected, tmp_path_factory):
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    try:
        subprocess.run([sys.executable, "-c", ""], **other_user(), cwd="/", check=True)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip(f"{USER} may not run {sys.executable}")
    folder = Path("/tmp") / f"offload_gym_read_only_{os.getpid()}"
    home = Path("/tmp") / f"offload_gym_home_{os.getpid()}"
    try:
        shutil.copytree(PACKAGE, folder / "offload_gym", ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["chmod", "-R", "a+rX,a-w", folder], check=True)
        home.mkdir()
        shutil.chown(home, USER)
        environment = {"HOME": str(home), "TMPDIR": str(home), "XDG_CACHE_HOME": str(home / "cache")}
        assert digest_of(folder, environment=environment, **other_user())[0] == expected
        assert not list(folder.rglob("__pycache__"))
    finally:
        subprocess.run(["chmod", "-R", "u+w", folder, home], check=True)
        shutil.rmtree(folder)
        shutil.rmtree(home)
