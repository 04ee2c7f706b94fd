"""Trained networks as C99 headers for the device.

A header is ``independent_source.HEADER`` with the layers and sizes of one network, and the parts for how it counts.
"""

from __future__ import annotations

import textwrap
import zlib
from pathlib import Path
from string import Template

from offload_gym.array_checks import check_count
from offload_gym.checks import quoted
from offload_gym.delay import MEAN, objective_code
from offload_gym.networks.c_layers import (
    INTEGER_ARITHMETIC,
    ONE,
    SCALED_ARITHMETIC,
    Form,
    calls,
    check_name,
    comment,
    in_single_precision,
    largest_output,
    largest_signal,
    layer,
    layer_bytes,
    make_form,
    write_header,
)
from offload_gym.networks.graph_header import export_graph_c
from offload_gym.networks.graph_policy import GraphPolicy
from offload_gym.networks.independent_kernel import NOT_TRIED, SHOWN
from offload_gym.networks.independent_source import FIXED, HEADER, REAL, Parts
from offload_gym.networks.onnx_model import exportable_network
from offload_gym.networks.policy import NetworkPolicy
from offload_gym.networks.policy_file import Network
from offload_gym.networks.stream_header import export_stream_c
from offload_gym.observation import BEFORE_CORES, row_size, state_size
from offload_gym.streams.policies import PlanPolicy

MAX_TASKS, MOST_TASKS = 32, 1000
UNIT_BITS = 16  # greedy's makespan is 2**16 where numbers are fixed
UNMEASURED = "How it decides was not measured; `offload-gym export` does that."
#: What the header says of its numbers.
_FORMS = {
    "double": "Times are in double, and the network in single precision. Compile with -ffp-contract=off: fused\n"
    " * products round in another way.",
    "float": "All numbers are in single precision; compile with -ffp-contract=off.",
    "fixed": "All numbers are integers: times in microseconds, then in shares of 1/65536 of greedy's makespan.",
}


def export_c(
    policy: NetworkPolicy | GraphPolicy | PlanPolicy,
    path: str | Path,
    max_tasks: int | None = None,
    name: str = "offload_gym",
    numbers: str = "double",
    weights: str | None = None,
    measured: str = "",
) -> dict[str, int]:
    """Write a network as one C99 header that depends on nothing and allocates nothing.

    The header defines ``<name>_decide``, which makes the decisions of ``policy.decide`` for one instance whose
    locations have one backlog each. It checks what it is given, and returns a code: 0, 1 where greedy earliest
    completion has decided because the network does not fit, or a negative one where nothing is decided.

    Args:
        policy: a network for independent tasks, with an encoder, and without local search behind it; one of graphs,
            see ``offload_gym.networks.graph_header.export_graph_c``, which takes sizes other than these, too; or one of
            streams, whose header decides a job of one task when it arrives, see
            ``offload_gym.networks.stream_header.export_stream_c``.
        path: where to write; missing folders are made, an existing file is replaced.
        max_tasks: most tasks of one call; 32 where it is not given, and at most 32 where numbers are fixed. Not for a
            network of streams.
        name: what all names in the header begin with, so that a program can have several networks.
        numbers: "double": times in double and the network in single precision, as here; sums of the network are in
            another order, so that two scores that are equal but for rounding may be told apart otherwise. "float":
            single precision throughout. "fixed": integers alone, for processors without a floating-point unit; sizes
            and rates come as whole numbers, and times in microseconds, of which none may be longer than about 2,000 s
            over max_tasks: 63 s with 32 tasks, 214 s with 8. Not for a network of graphs.
        weights: "float", or "int8" with a scale for each output of a layer. Without it, int8 where numbers are fixed,
            which have no others, and otherwise float.
        measured: what the comment of a header for independent tasks says of how it decides, such as ``offload-gym
            export`` measures it.

    Returns:
        Bytes by use: "flash" of the weights, and "ram" of the arrays during a call: on the stack, but of a network of
        graphs in a struct that the caller has, and of one of streams that of a device, beside "stack".

    Raises:
        ValueError: the policy is of another kind, max_tasks is out of bounds, the name is no name in C, there are no
            such numbers or weights, or the network's weights do not fit into integers.
    """
    if isinstance(policy, PlanPolicy):
        if max_tasks is not None:
            raise ValueError(f"max_tasks is {quoted(max_tasks)}; for a network of streams it must be None")
        return export_stream_c(policy, path, name=name, numbers=numbers, weights=weights)
    max_tasks = MAX_TASKS if max_tasks is None else max_tasks
    if isinstance(policy, GraphPolicy):
        return export_graph_c(policy, path, max_tasks, name=name, numbers=numbers, weights=weights)
    check_count("max_tasks", max_tasks)
    if max_tasks > MOST_TASKS:
        raise ValueError(f"max_tasks is {max_tasks}; it must be at most {MOST_TASKS}, as all arrays are on the stack")
    check_name(name)
    form = make_form(numbers, weights)
    if form.numbers == "fixed" and max_tasks > MAX_TASKS:
        raise ValueError(f"max_tasks is {max_tasks}; where numbers is 'fixed' it must be at most {MAX_TASKS}")
    network = exportable_network(policy)
    sizes = _sizes(policy, max_tasks)
    memory = {"flash": layer_bytes((*network.encoder, *network.head), form), "ram": _ram(network, sizes, form)}
    write_header(path, _fill(network, sizes, memory, form, measured), name)
    return memory


def _sizes(policy: NetworkPolicy, max_tasks: int) -> dict[str, int]:
    """What the header defines as numbers."""
    network = policy.network
    num_locations, code = len(network.cores), len(network.encoder[-1][1])
    joint = network.form == "joint"
    features = row_size(num_locations) - 1
    state = state_size(sum(network.cores), num_locations, False, network.roll_outs)
    inputs = (1 + joint) * code + features + state  # of the head
    return {
        "MAX_TASKS": max_tasks,
        "NUM_LOCATIONS": num_locations,
        "MAX_CORES": max(network.cores),
        "CORES_AT": BEFORE_CORES,  # in the state
        "OPTIONS_AT": BEFORE_CORES + sum(network.cores),
        "CODE": code,
        "FEATURES": features,
        "STATE": state,
        "WIDEST": max(inputs, largest_output((*network.encoder, *network.head))),
        "JOINT": int(joint),
        "KEEP_BEST": int(policy.keep_best),
        "TRIED": int(policy.roll_outs != NOT_TRIED),
        "SHOWN": int(policy.roll_outs == SHOWN),
        "MEAN": int(objective_code(network.objective) == MEAN),
    }


def _ram(network: Network, sizes: dict[str, int], form: Form) -> int:
    """Bytes of the arrays on the stack: those of ``offload_gym_memory``, of a roll-out, and the sums of a layer."""
    n, num_locations, tried = sizes["MAX_TASKS"], sizes["NUM_LOCATIONS"], sizes["TRIED"]
    times = 4 * n * num_locations + (2 + tried) * num_locations * sizes["MAX_CORES"] + 3 * num_locations
    read = n * sizes["FEATURES"] + (n + 1) * sizes["CODE"] + sizes["STATE"] + 2 * sizes["WIDEST"]
    sums = 8 * num_locations if form.numbers == "fixed" else largest_output((*network.encoder, *network.head))
    return (8 if form.numbers == "double" else 4) * times + 4 * (read + sums) + 4 * (1 + tried) * n


def _work(network: Network, sizes: dict[str, int]) -> dict[str, int]:
    """The most that a call does."""
    n, num_locations = sizes["MAX_TASKS"], sizes["NUM_LOCATIONS"]
    rolled = n * (n - 1) // 2 if not sizes["JOINT"] else n - 1  # tasks behind those for which roll-outs are tried
    trials = (3 * n + sizes["TRIED"] * rolled * (num_locations - 1)) * num_locations
    products = n * sum(weight.size for weight, _ in (*network.encoder, *network.head))
    return {"trials": trials, "products": products}


def _in_integers(network: Network, sizes: dict[str, int]) -> dict[str, str]:
    """What a header in integers defines besides: no sum of times or of products leaves 32 bits."""
    n = sizes["MAX_TASKS"]
    stages = 2 * n + 4  # at most, one after the other on the way to a completion
    return {
        "UNIT_BITS": str(UNIT_BITS),
        "UNIT": f"{1 << UNIT_BITS}u",
        "ONE": f"{ONE}u",
        "LONGEST_US": f"{min((2**32 - 1) // stages, 2**28)}u",
        "LONGEST": f"{(2**32 - 1) // (n * stages)}u",
        "LARGEST_SIGNAL": str(largest_signal((*network.encoder, *network.head))),
    }


def _fill(network: Network, sizes: dict[str, int], memory: dict[str, int], form: Form, measured: str) -> str:
    """The header of a network."""
    last = len(network.head) - 1
    layers = [layer(f"encoder_{i}", pair, "relu", form) for i, pair in enumerate(network.encoder)]
    layers += [layer(f"head_{i}", pair, "relu" if i < last else "", form) for i, pair in enumerate(network.head)]
    cores = ", ".join(map(str, network.cores))
    defined = {key: str(value) for key, value in sizes.items()}
    parts = REAL
    if form.numbers == "fixed":
        defined.update(_in_integers(network, sizes))
        parts = FIXED._replace(arithmetic=f"{SCALED_ARITHMETIC.strip()}\n\n{FIXED.arithmetic}")
        layers = [INTEGER_ARITHMETIC, *layers]
    elif form.numbers == "float":
        parts = Parts(*map(in_single_precision, parts))
    if form.weights == "int8" and form.numbers != "fixed":
        parts = parts._replace(includes=f"{parts.includes}\n#include <stdint.h>")
    # Equal for equal networks only, whatever their files say of where they come from.
    content = "\n".join((*map(str, defined.items()), form.numbers, cores, *layers))
    text = {"encoder": calls("encoder", len(network.encoder), 8), "head": calls("head", len(network.head), 4)}
    return Template(HEADER).substitute(
        memory,
        **_work(network, sizes),
        **parts._asdict(),
        **text,
        scenario=comment(network.scenario),
        objective=network.objective,
        cores=cores,
        parameters=network.num_parameters,
        form=_FORMS[form.numbers],
        measured="\n * ".join(textwrap.wrap(comment(measured or UNMEASURED), 115)),
        max_tasks=sizes["MAX_TASKS"],
        defines="\n".join(f"#define OFFLOAD_GYM_{key} {value}" for key, value in defined.items()),
        layers="\n".join(layers),
        checksum=f"{zlib.crc32(content.encode())}u",
    )
