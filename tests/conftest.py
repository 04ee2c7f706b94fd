"""Instances that several test files share, and a bound on each test where kernels run as plain Python."""

import signal
from collections.abc import Callable, Generator
from pathlib import Path
from types import FrameType

import numpy as np
import pytest
from numba.core.config import DISABLE_JIT

from offload_gym import Instances, sample_instances
from offload_gym.instances import LOCATION_FIELDS, TASK_FIELDS

# What can be special about instances; "mixed" is all of it at once.
KINDS = ("plain", "per-core backlogs", "busy cores", "radio backlog", "zero sizes", "identical tasks", "mixed")


#: Seconds of processor time for a test where numba compiles nothing (NUMBA_DISABLE_JIT=1). Such a run tells which lines
#: of kernels the tests reach, most of them soon; what a test stopped here would find it finds with compiled kernels.
LONGEST_S = 1.0
TOO_LONG = f"takes more than {LONGEST_S} s where numba compiles nothing"

if DISABLE_JIT:  # random numbers are products modulo 2**64, and times are divided by rates of 0 and added to infinity
    np.seterr(over="ignore", divide="ignore", invalid="ignore")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    if not DISABLE_JIT:
        return (yield)
    stopped = False

    def stop(_: int, frame: FrameType | None) -> None:
        nonlocal stopped
        while frame is not None:
            if frame.f_code.co_filename == "<frozen importlib._bootstrap>":  # half a module would stay
                return
            frame = frame.f_back
        stopped = True
        pytest.skip(TOO_LONG)

    before = signal.signal(signal.SIGVTALRM, stop)
    # Again every tenth of a second: there are callbacks whose exceptions Python drops.
    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST_S, 0.1)
    try:
        return (yield)
    except (Exception, BaseExceptionGroup):
        if not stopped:
            raise
        pytest.skip(TOO_LONG)  # what is raised in the middle of a library breaks what it keeps for itself
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def hand_fields() -> dict[str, np.ndarray]:
    """The fields of the case worked out by hand: 3 tasks, 3 locations."""
    inf = np.inf
    fields = {
        "input_bits": [[2e6, 2e6, 4e6]],
        "output_bits": [[0.1e6, 0.2e6, 0.4e6]],
        "workload_cycles": [[1.0e9, 0.2e9, 0.4e9]],
        "cpu_hz": [[1e9, 4e9, 10e9]],
        "cores": [[1, 1, 2]],
        "backlog_s": [[0.0, 0.1, 0.0]],
        "uplink_bps": [[inf, 10e6, 10e6]],
        "downlink_bps": [[inf, 20e6, 20e6]],
        "wired_bps": [[inf, inf, 100e6]],
        "propagation_s": [[0.0, 0.005, 0.030]],
        "radio_backlog_s": [0.0],
    }
    return {name: np.array(values) for name, values in fields.items()}


@pytest.fixture
def hand_case(hand_fields: dict[str, np.ndarray]) -> Instances:
    return Instances(**hand_fields)


@pytest.fixture
def tracks_csv(tmp_path: Path) -> Path:
    """Recorded positions: two ways, of 40 and of 10 s, and a device that stays; rows of the first two alternate."""
    path = tmp_path / "positions.csv"
    path.write_text(
        "device,time_s,x_m,y_m,note\nbus,0,-300,0,a\ntram,100,0,0,b\nbus,10,-100,50,c\ntram,110,0,90,d\n"
        "bus,40,500,50,e\nkiosk,7,120,-80,f\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="session")
def draw() -> Callable[..., Instances]:
    """``draw(kind, num_instances, num_tasks, num_edges, seed)`` draws random instances of one of ``KINDS``."""
    return draw_instances


# A field that is 0 everywhere is compared with nothing: whoever adds one to the package draws it here.
DRAWN = ("cpu_hz", "cores", "uplink_bps", "downlink_bps", "wired_bps", "propagation_s")


def draw_instances(kind: str, num_instances: int, num_tasks: int, num_edges: int, seed: int) -> Instances:
    assert kind in KINDS
    assert LOCATION_FIELDS == DRAWN, "a new field of the locations needs values that are not 0 here"
    rng = np.random.default_rng(seed)
    drawn = sample_instances({"num_tasks": num_tasks, "num_edges": num_edges}, num_instances, rng)
    names = (*TASK_FIELDS, *LOCATION_FIELDS, "backlog_s", "radio_backlog_s")
    fields = {name: getattr(drawn, name).copy() for name in names}
    per_location = (num_instances, num_edges + 2)
    if kind in ("per-core backlogs", "mixed"):
        fields["cores"] = rng.integers(1, 4, per_location)
        backlog_s = rng.exponential(0.3, (*per_location, fields["cores"].max()))
        backlog_s[rng.random(backlog_s.shape) < 0.2] = 0.0  # several cores are free at the same time
        fields["backlog_s"] = backlog_s
    if kind in ("busy cores", "mixed"):
        fields["backlog_s"][rng.random(fields["backlog_s"].shape) < 0.3] = 50.0  # beyond every optimum
    if kind in ("radio backlog", "mixed"):
        fields["radio_backlog_s"] = rng.choice([0.0, 0.05, 0.5, 5.0], num_instances)
    if kind in ("zero sizes", "mixed"):
        for name in TASK_FIELDS:
            fields[name][rng.random(fields[name].shape) < 0.3] = 0.0
    if kind in ("identical tasks", "mixed"):
        alike = rng.random(num_instances) < (0.3 if kind == "mixed" else 1.0)
        for name in TASK_FIELDS:
            fields[name][alike] = fields[name][alike, :1]
    if kind == "mixed":
        fields["wired_bps"][rng.random(per_location) < 0.3] = np.inf
    return Instances(**fields)
