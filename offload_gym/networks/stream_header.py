"""Trained networks of streams as C99 headers for the device.

The header decides one job of one task of one device when it arrives. What it computes before the network, the
observation, is written from the source of the kernels that compute it here, see ``kernels_in_c``.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from string import Template

from offload_gym.array_checks import check_count
from offload_gym.networks.c_kinds import PREFIX, Array, Kind, Record, record_of
from offload_gym.networks.c_layers import (
    INTEGER_ARITHMETIC,
    ONE,
    SCALED_ARITHMETIC,
    Form,
    calls,
    check_name,
    comment,
    in_single_precision,
    largest_signal,
    layer,
    layer_bytes,
    make_form,
    write_header,
)
from offload_gym.networks.kernels_in_c import Translator
from offload_gym.networks.stream_source import DECIDE, DEVICE, FIXED, GIVEN, HEADER, PENDING, REAL, Parts
from offload_gym.streams.engine import is_entry, is_exit, stands_at
from offload_gym.streams.networks import StreamNetwork, num_outputs
from offload_gym.streams.observing import HIGH, OF_LOCATION, STREAM_COLUMNS, observe, size_of
from offload_gym.streams.outlook import FORESEEN, OPTION, weigh
from offload_gym.streams.policies import PlanPolicy
from offload_gym.streams.streams import DEVICE as OWN
from offload_gym.streams.streams import JOB, SERVER
from offload_gym.streams.system import RADIO, remember

MEAN_GAP = [name for name, *_ in STREAM_COLUMNS].index("mean_gap")
#: What the header says of its numbers.
_FORMS = {
    "double": "Times are in double, and the network in single precision. Compile with -ffp-contract=off: fused\n"
    " * products round in another way, and link with -lm.",
    "float": "All numbers are in single precision; compile with -ffp-contract=off, and link with -lm.",
    "fixed": "All numbers are integers: whole bits, cycles and rates, and times in microseconds.",
}
#: Where the header finds what the kernels read: by struct and field, the statement that fills it from the state. What
#: is not here, kernels may not read.
_FILLED = {
    "world": {
        "jobs": "",
        "tasks": "world.tasks[0][0][0] = state->input_bits;\n    world.tasks[0][0][1] = state->output_bits;\n"
        "    world.tasks[0][0][2] = state->workload_cycles;",
        "devices": "",
        "servers": "world.servers = state->servers;",
    },
    "job": {
        "device": "world.jobs[0].device = 0;",
        "num_tasks": "world.jobs[0].num_tasks = 1;",
        "arrival_s": "world.jobs[0].arrival_s = state->now_s;",
        "deadline_s": "world.jobs[0].deadline_s = state->deadline_s;",
    },
    "own": {"hz": "world.devices[0].hz = state->device_hz;"},
    "system": {"radios": "system.radios[0] = state->radio;"},
    "outlook": {"foreseen": "", "core_free_s": "outlook.core_free_s = state->core_free_s;", "options": ""},
    "foreseen": {
        "now_s": "outlook.foreseen[0].now_s = state->now_s;",
        "radio_s": f"outlook.foreseen[0].radio_s = {PREFIX}max(state->radio_free_s, state->now_s);",
        "uplink_bps": "outlook.foreseen[0].uplink_bps = state->uplink_bps;",
        "downlink_bps": "outlook.foreseen[0].downlink_bps = state->downlink_bps;",
        "done_s": "outlook.foreseen[0].done_s = state->now_s;",
        "outage": "outlook.foreseen[0].outage = state->outage;",
        "num_in_system": "outlook.foreseen[0].num_in_system = state->num_in_system;",
        "num_devices": "outlook.foreseen[0].num_devices = state->num_devices;",
        "num_others": "outlook.foreseen[0].num_others = state->num_others;",
        "site": "outlook.foreseen[0].site = 0;",
        "report_age_s": "outlook.foreseen[0].report_age_s = state->report_age_s;",
    },
}
_IN_STATE = ("server", "radio")  # structs of the state itself: those that use the header fill them
_BYTES = {"double": 8, "int": 4, "float": 4}


def export_stream_c(
    policy: PlanPolicy,
    path: str | Path,
    max_cores: int = 8,
    name: str = "offload_gym",
    numbers: str = "double",
    weights: str | None = None,
    max_pending: int = 32,
) -> dict[str, int]:
    """Write a network of streams as one C99 header that depends on the standard library alone and allocates nothing.

    The header defines a ``<name>_device``, which keeps its own books, for jobs of one task: ``<name>_start`` begins
    them, ``<name>_tick`` and ``<name>_report`` tell what happened, ``<name>_arrive`` decides a job that arrives, and
    ``<name>_done`` takes one back. In double and float it has ``<name>_decide`` as well, which decides from a
    ``<name>_state`` that the caller fills. All of them return a code. Sums of the network are in another order than
    here, so that two scores that are equal but for rounding may be told apart otherwise.

    Args:
        policy: a network, such as ``load_stream_policy`` returns.
        path: where to write; missing folders are made, an existing file is replaced.
        max_cores: most cores of a location.
        name: what all names in the header begin with, so that a program can have several networks.
        numbers: "double", "float" for single precision throughout, or "fixed" for integers alone.
        weights: "float", or "int8" with a scale for each output of a layer; see ``offload_gym.export_c``.
        max_pending: most jobs of a device that are under way to servers, or there but not in a report.

    Returns:
        Bytes by use: "flash" of the weights, "ram" of a ``<name>_device``, and "stack" of the arrays during a call.

    Raises:
        ValueError: the policy is no network of streams, or one for jobs of several tasks, a size is below 1, the
            name is no name in C, there are no such numbers or weights, or the network does not fit into integers.
    """
    if not isinstance(policy, PlanPolicy):
        raise ValueError(f"policy is a {type(policy).__name__}; it must be a network of streams")
    network = policy.network
    if network is None:
        raise ValueError(f"the policy {policy.name} is a rule; only a network can be exported")
    trained = network.scenario_fields or {}
    if trained.get("applications") or (trained.get("max_tasks") or trained.get("num_tasks", 1)) > 1:
        raise ValueError(
            f"the policy {policy.name} was trained on jobs of several tasks ({network.scenario}); it must be one for "
            "jobs of one task, which a header decides"
        )
    check_count("max_cores", max_cores)
    check_count("max_pending", max_pending)
    check_name(name)
    form = make_form(numbers, weights)
    sizes = {
        "NUM_LOCATIONS": network.num_locations,
        "MAX_CORES": max_cores,
        "MAX_PENDING": max_pending,
        "NUM_OUTPUTS": num_outputs(network),
        "WIDEST": max(size_of(network.num_locations), *(len(bias) for _, bias in network.layers)),
    }
    parts, stack = _in_integers(network, sizes) if form.numbers == "fixed" else _in_numbers(network, sizes, form)
    memory = {"flash": layer_bytes(network.layers, form), "ram": _device_bytes(sizes, form), "stack": stack}
    write_header(path, _fill(network, sizes, parts, memory, form), name)
    return memory


def _device_bytes(sizes: dict[str, int], form: Form) -> int:
    """Bytes of a device, but for padding."""
    locations, cores, pending = sizes["NUM_LOCATIONS"], sizes["MAX_CORES"], sizes["MAX_PENDING"]
    time, size = {"double": (8, 8), "float": (4, 4), "fixed": (4, 8)}[form.numbers]
    server = 24 if form.numbers == "fixed" else 4 * size
    jobs = pending * (2 * 4 + 2 * size + 2 * time)
    own = (3 * size + 8 + 4 * 8 + 8 * (3 * locations - 2)) if form.numbers == "fixed" else (3 * size + 5 * time + 6 * 4)
    return (locations - 1) * server + locations * (4 + cores * time) + jobs + own


def _observed(num_locations: int, max_cores: int) -> tuple[Translator, dict[str, Record]]:
    """The kernels of the observation in C, and the structs by name, each behind those that it holds."""
    records = {
        "job": record_of("job", JOB),
        "own": record_of("own", OWN),
        "server": record_of("server", SERVER),
        "radio": record_of("radio", RADIO, constant=False),
        "foreseen": record_of("foreseen", FORESEEN),
        "option": record_of("option", OPTION, constant=False),
    }
    one, several = (1,), (num_locations,)
    holds: dict[str, dict[str, Kind]] = {
        "world": {
            "jobs": Array(records["job"], one),
            "tasks": Array("double", (1, 1, 3)),
            "devices": Array(records["own"], one),
            "servers": Array(records["server"], (num_locations - 1,), elsewhere=True),
        },
        "system": {"radios": Array(records["radio"], one)},
        "outlook": {
            "foreseen": Array(records["foreseen"], one),
            "core_free_s": Array("double", (num_locations, max_cores), elsewhere=True),
            "options": Array(records["option"], several),
        },
    }
    for name, fields in holds.items():
        records[name] = Record(name, fields, constant=name == "world")
    # A job of one task has no graph, and the paths of the state are those from where the device is.
    translator = Translator({is_entry: True, is_exit: True, stands_at: False})
    world, system, outlook = (records[name] for name in holds)
    translator.write(weigh, (world, outlook, "int", "int"))
    seen = Array("float", (size_of(num_locations),))
    translator.write(observe, (world, system, outlook, "int", "int", seen))
    translator.write(remember, (records["radio"], "double"))
    return translator, records


def _bytes(translator: Translator, kind: Kind) -> int:
    """Bytes of a struct with the fields that are used, or of an array, but for padding."""
    if isinstance(kind, Record):
        return sum(_bytes(translator, field) for name, field in kind.fields.items() if translator.uses(kind, name))
    if isinstance(kind, Array):
        size = 1
        for length in kind.shape:
            size *= length
        return 8 if kind.elsewhere else size * _bytes(translator, kind.of)
    return _BYTES[kind]


def _filling(translator: Translator, records: dict[str, Record]) -> str:
    """The statements that fill the structs from the state."""
    lines = []
    for name, record in records.items():
        for field in record.fields:
            if not translator.uses(record, field) or name in ("option", *_IN_STATE):
                continue
            if field not in _FILLED[name]:
                raise NotImplementedError(f"the observation reads {name}.{field}, which a state in C does not have")
            lines.append(_FILLED[name][field])
    return "\n    ".join(line for line in lines if line)


def _device(parts: Parts, time: str, size: str) -> dict[str, str]:
    """The text of a device in these numbers."""
    words = {"unit": parts.unit, "time": time, "size": size, "passed_parameter": parts.passed_parameter}
    text = Template(DEVICE).safe_substitute(words, arithmetic=parts.arithmetic, choose=parts.choose)
    return {"pending": Template(PENDING).substitute(words), "types": parts.types, "device": text}


def _in_numbers(network: StreamNetwork, sizes: dict[str, int], form: Form) -> tuple[dict[str, str], int]:
    """What a header with floating point is made of, and bytes of the arrays on the stack."""
    translator, records = _observed(network.num_locations, sizes["MAX_CORES"])
    structs = {name: translator.struct(record) for name, record in records.items()}
    state = {
        "given": "\n\n".join(structs.pop(name) for name in _IN_STATE),
        "structs": "\n\n".join(structs.values()),
        "kernels": "\n\n".join(translator.functions),
        "filling": _filling(translator, records),
        "calls": calls("layer", len(network.layers), 4),
        "gap_at": str(OF_LOCATION * network.num_locations + MEAN_GAP),
    }
    parts = {
        "includes": "#include <float.h>\n#include <math.h>",
        "given": Template(GIVEN).substitute(state),
        "decide": Template(DECIDE).substitute(state),
        **_device(REAL, "double", "double"),
    }
    stack = sum(_bytes(translator, records[at]) for at in ("world", "system", "outlook"))
    stack += 2 * 8 * sizes["NUM_LOCATIONS"] * sizes["MAX_CORES"]  # of a view, and of a state
    if form.numbers == "float":
        parts, stack = {name: in_single_precision(part) for name, part in parts.items()}, stack // 2
    if form.weights == "int8":
        parts["includes"] += "\n#include <stdint.h>"
    return parts, stack + 3 * 4 * sizes["WIDEST"]


def _in_integers(network: StreamNetwork, sizes: dict[str, int]) -> tuple[dict[str, str], int]:
    """What a header in integers is made of, and bytes of the arrays on the stack."""
    if largest_signal(network.layers[:1]) < HIGH * ONE:
        raise ValueError("the network is too wide for sums of 32 bits; export it with numbers='float'")
    called = calls("layer", len(network.layers), 4)
    fixed = FIXED._replace(choose=Template(FIXED.choose).substitute(calls=called))
    parts = {
        "includes": "#include <stdint.h>",
        "given": f"#define OFFLOAD_GYM_LARGEST_SIGNAL {largest_signal(network.layers)}\n{SCALED_ARITHMETIC}",
        "decide": INTEGER_ARITHMETIC,
        **_device(fixed, "int32_t", "uint64_t"),
    }
    return parts, 4 * sizes["NUM_LOCATIONS"] * sizes["MAX_CORES"] + 2 * 4 * sizes["WIDEST"]


def _fill(
    network: StreamNetwork, sizes: dict[str, int], parts: dict[str, str], memory: dict[str, int], form: Form
) -> str:
    """The header of a network."""
    last = len(network.layers) - 1
    layers = "\n".join(
        layer(f"layer_{i}", pair, network.activation if i < last else "", form) for i, pair in enumerate(network.layers)
    )
    # Layers stand before what calls them: in integers behind their arithmetic, else behind what is read.
    decide = f"{parts['decide']}\n{layers}" if form.numbers == "fixed" else parts["decide"].replace("@layers", layers)
    content = "\n".join((*map(str, sizes.items()), form.numbers, *parts.values(), layers))
    return Template(HEADER).substitute(
        {**parts, "decide": decide},
        **memory,
        defines="\n".join(f"#define OFFLOAD_GYM_{key} {value}" for key, value in sizes.items()),
        form=_FORMS[form.numbers],
        of_location=OF_LOCATION,
        max_pending=sizes["MAX_PENDING"],
        products=sum(weight.size for weight, _ in network.layers),
        num_locations=network.num_locations,
        scenario=comment(network.scenario),
        objective=network.objective,
        parameters=network.num_parameters,
        checksum=f"{zlib.crc32(content.encode())}u",
    )
