"""Task offloading in mobile edge computing, for Gymnasium.

``import offload_gym`` registers the environments ``offload_gym/Joint-v0``, ``offload_gym/Sequential-v0`` and
``offload_gym/Stream-v0``.
"""

from gymnasium.envs.registration import register

from offload_gym.applications.application import Application
from offload_gym.applications.loading import load_application, save_application
from offload_gym.applications.presets import random_application
from offload_gym.delay import OBJECTIVES, Schedule, completion_times, energy, latency, schedule
from offload_gym.demonstrations import (
    Demonstrations,
    generate_demonstrations,
    load_demonstrations,
    save_demonstrations,
)
from offload_gym.estimates import estimate_instances
from offload_gym.instances import Instances
from offload_gym.networks.c_header import export_c
from offload_gym.networks.onnx_model import export_onnx
from offload_gym.policies import POLICY_NAMES, Policy, load_policy, make_policy
from offload_gym.radio.formats import load_trace
from offload_gym.radio.trace import Trace
from offload_gym.sampling import sample_consecutive, sample_instances
from offload_gym.scenario import Scenario, make_scenario
from offload_gym.shards import generate_shards, load_shards
from offload_gym.solvers.exact import Solutions, solve
from offload_gym.solvers.local_search import local_search
from offload_gym.streams.playing import play
from offload_gym.streams.policies import load_stream_policy, make_stream_policy
from offload_gym.streams.responses import response_times
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams

__version__ = "0.1.0"

__all__ = [
    "OBJECTIVES",
    "POLICY_NAMES",
    "Application",
    "Demonstrations",
    "Instances",
    "Policy",
    "Scenario",
    "Schedule",
    "Solutions",
    "Streams",
    "Trace",
    "completion_times",
    "energy",
    "estimate_instances",
    "export_c",
    "export_onnx",
    "generate_demonstrations",
    "generate_shards",
    "latency",
    "load_application",
    "load_demonstrations",
    "load_policy",
    "load_shards",
    "load_stream_policy",
    "load_trace",
    "local_search",
    "make_policy",
    "make_scenario",
    "make_stream_policy",
    "play",
    "random_application",
    "response_times",
    "sample_consecutive",
    "sample_instances",
    "sample_streams",
    "save_application",
    "save_demonstrations",
    "schedule",
    "solve",
]

for _name, _vector in (("Joint", "vector"), ("Sequential", "vector"), ("Stream", "stream")):
    register(
        id=f"offload_gym/{_name}-v0",
        entry_point=f"offload_gym.envs.{_name.lower()}:{_name}Env",
        vector_entry_point=f"offload_gym.envs.{_vector}:Vector{_name}Env",
    )
