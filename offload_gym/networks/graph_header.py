"""Trained networks of graphs as C99 headers for the device: ``graph_source`` with the layers and sizes of a network."""

from __future__ import annotations

import zlib
from pathlib import Path
from string import Template

from offload_gym.array_checks import check_count
from offload_gym.checks import checked_count, quoted
from offload_gym.networks.c_layers import (
    Form,
    calls,
    check_name,
    comment,
    in_single_precision,
    layer,
    layer_bytes,
    make_form,
    write_header,
)
from offload_gym.networks.graph_network import GraphNetwork
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.graph_source import HEADER
from offload_gym.networks.graph_view import FOR_TASK, INPUTS, LEAST_S, MANY_TASKS, SHARED
from offload_gym.solvers.bounds import TOLERANCE

EDGES_PER_TASK = 16  # of those that there is memory for where nothing else is said; dense random graphs have 8


def export_graph_c(
    policy: GraphPolicy,
    path: str | Path,
    max_tasks: int,
    max_edges: int | None = None,
    max_locations: int = 4,
    max_cores: int = 8,
    name: str = "offload_gym",
    numbers: str = "double",
    weights: str | None = None,
) -> dict[str, int]:
    """Write a network of graphs as one C99 header that needs the standard library alone and allocates nothing.

    The header defines ``<name>_decide``, which makes the decision of ``policy.decide`` for one application: its tasks,
    edges, locations and backlogs. It works in a ``<name>_memory``, which the caller has, and returns a code where the
    application does not fit into it, or a number is out of its bounds. Times are in double, to the last bit as here.
    The network is in single precision; its sums are in another order, so that two scores that are equal but for
    rounding may be told apart otherwise.

    Args:
        policy: the network, without local search behind it.
        path: where to write; missing folders are made, an existing file is replaced.
        max_tasks: most tasks of an application.
        max_edges: its most edges; 16 times the tasks where it is not given, or all that there can be.
        max_locations: most locations, the device and the cloud included; at least 2.
        max_cores: most cores of a location.
        name: what all names in the header begin with, so that a program can have several networks.
        numbers: "double", or "float" for single precision throughout; there are no integers for graphs.
        weights: "float", or "int8" with a scale for each output of a layer; float where it is not given.

    Returns:
        Bytes by use: "flash" of the weights, and "ram" of a ``<name>_memory``.

    Raises:
        ValueError: the policy is of another kind or has local search behind it, a size is too small, the name is no
            name in C, or there are no such numbers or weights for graphs.
    """
    if not isinstance(policy, GraphPolicy):
        raise ValueError(f"policy is a {type(policy).__name__}; it must be a GraphPolicy, a network of graphs")
    if policy.refine is not None:
        raise ValueError(f"refine is {quoted(policy.refine)}; only a network without local search can be exported")
    check_count("max_tasks", max_tasks)
    if max_edges is None:
        max_edges = max(1, min(EDGES_PER_TASK * max_tasks, max_tasks * (max_tasks - 1) // 2))
    check_count("max_edges", max_edges)
    checked_count("max_locations", max_locations, 2)
    check_count("max_cores", max_cores)
    check_name(name)
    form = make_form(numbers, weights)
    if form.numbers == "fixed":
        raise ValueError("numbers is 'fixed'; for a network of graphs it must be 'double' or 'float'")
    network = policy.network
    sizes = {
        "MAX_TASKS": max_tasks,
        "MAX_EDGES": max_edges,
        "MAX_LOCATIONS": max_locations,
        "MAX_CORES": max_cores,
        "NUM_STARTS": network.num_starts,
        "NUM_PASSES": network.num_passes,
        "NUM_SWEEPS": network.num_sweeps,
        "SHARED": SHARED,
        "FOR_TASK": FOR_TASK,
        "INPUTS": INPUTS,
        "WIDEST": max(INPUTS, *(len(bias) for _, bias in network.layers)),
    }
    memory = {"flash": layer_bytes(network.layers, form), "ram": _ram(sizes, form)}
    write_header(path, _fill(network, sizes, memory, form), name)
    return memory


def _ram(sizes: dict[str, int], form: Form) -> int:
    """Bytes of ``offload_gym_memory``."""
    n, num_locations = sizes["MAX_TASKS"], sizes["MAX_LOCATIONS"]
    doubles = n * (7 * num_locations + 4) + num_locations * (3 * sizes["MAX_CORES"] + 5 + 3 + 1) + 3
    floats = n * FOR_TASK + num_locations * (INPUTS + 1) + 2 * sizes["WIDEST"]
    whole = 3 * n + 1 + 2 * sizes["MAX_EDGES"]
    if form.numbers == "float":
        return 4 * (doubles + floats + whole)
    return 8 * doubles + -(-4 * (floats + whole) // 8) * 8  # a struct is padded to whole doubles


def _fill(network: GraphNetwork, sizes: dict[str, int], memory: dict[str, int], form: Form) -> str:
    """The header of a network."""
    last = len(network.layers) - 1
    layers = [layer(f"layer_{i}", pair, "relu" if i < last else "", form) for i, pair in enumerate(network.layers)]
    numbers = {**sizes, "MANY_TASKS": repr(MANY_TASKS), "TOLERANCE": repr(TOLERANCE), "LEAST_S": repr(LEAST_S)}
    if form.numbers == "float":
        numbers["LEAST_S"] = "1e-36"
        numbers = {key: in_single_precision(str(value)) for key, value in numbers.items()}
    # Equal for equal networks only, whatever their files say of where they come from.
    content = "\n".join((*map(str, numbers.items()), form.numbers, *layers))
    header = HEADER if form.numbers == "double" else in_single_precision(HEADER)
    includes = "#include <math.h>" + ("\n#include <stdint.h>" if form.weights == "int8" else "")
    return Template(header).substitute(
        memory,
        includes=includes,
        scenario=comment(network.scenario),
        parameters=network.num_parameters,
        defines="\n".join(f"#define OFFLOAD_GYM_{key} {value}" for key, value in numbers.items()),
        layers="\n".join(layers),
        checksum=f"{zlib.crc32(content.encode())}u",
        calls=calls("layer", len(layers), 8),
    )
