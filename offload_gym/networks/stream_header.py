"""Trained networks of streams as C99 headers for the device.

The header decides one job of one task of one device when it arrives. What it computes before the network, the
observation, is written from the source of the kernels that compute it here, see ``kernels_in_c``.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from string import Template
from typing import Any

from offload_gym.array_checks import check_count
from offload_gym.networks.c_kinds import PREFIX, Array, Kind, Record, record_of
from offload_gym.networks.c_layers import Form, calls, check_name, comment, layer, write_header
from offload_gym.networks.kernels_in_c import Translator
from offload_gym.streams.engine import is_entry, is_exit, stands_at
from offload_gym.streams.networks import StreamNetwork, num_outputs
from offload_gym.streams.observing import observe, size_of
from offload_gym.streams.outlook import FORESEEN, OPTION, weigh
from offload_gym.streams.policies import PlanPolicy
from offload_gym.streams.streams import DEVICE, JOB, SERVER
from offload_gym.streams.system import RADIO, remember

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
    "device": {"hz": "world.devices[0].hz = state->device_hz;"},
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
    policy: PlanPolicy, path: str | Path, max_cores: int = 8, name: str = "offload_gym"
) -> dict[str, int]:
    """Write a network of streams as one C99 header that depends on the standard library alone and allocates nothing.

    The header defines ``<name>_decide``, which decides a job of one task when it arrives at a device, from a
    ``<name>_state``: what the device knows of its queues and of the servers. Times are in double and the network in
    single precision, as here; sums of the network are in another order, so that two scores that are equal but for
    rounding may be told apart otherwise.

    Args:
        policy: a network, such as ``load_stream_policy`` returns.
        path: where to write; missing folders are made, an existing file is replaced.
        max_cores: most cores of a location.
        name: what all names in the header begin with, so that a program can have several networks.

    Returns:
        Bytes by use: "flash" of the weights, and "ram" of the arrays on the stack during a call.

    Raises:
        ValueError: the policy is no network of streams, or one for jobs of several tasks, max_cores is below 1, or the
            name is no name in C.
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
    check_name(name)
    translator, records = _observed(network.num_locations, max_cores)
    widest = max(size_of(network.num_locations), *(len(bias) for _, bias in network.layers))
    ram = sum(_bytes(translator, records[at]) for at in ("world", "system", "outlook")) + 3 * 4 * widest
    memory = {"flash": 4 * network.num_parameters, "ram": ram}
    write_header(path, _fill(network, translator, records, memory, {"max_cores": max_cores, "widest": widest}), name)
    return memory


def _observed(num_locations: int, max_cores: int) -> tuple[Translator, dict[str, Record]]:
    """The kernels of the observation in C, and the structs by name, each behind those that it holds."""
    records = {
        "job": record_of("job", JOB),
        "device": record_of("device", DEVICE),
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
            "devices": Array(records["device"], one),
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


def _fill(
    network: StreamNetwork,
    translator: Translator,
    records: dict[str, Record],
    memory: dict[str, int],
    sizes: dict[str, Any],
) -> str:
    """The header of a network."""
    last = len(network.layers) - 1
    layers = [
        layer(f"layer_{i}", pair, network.activation if i < last else "", Form("double", "float"))
        for i, pair in enumerate(network.layers)
    ]
    structs = {name: translator.struct(record) for name, record in records.items()}
    parts = {
        "given": "\n\n".join(structs.pop(name) for name in _IN_STATE),
        "structs": "\n\n".join(structs.values()),
        "kernels": "\n\n".join(translator.functions),
        "filling": _filling(translator, records),
        "layers": "\n".join(layers),
        "calls": calls("layer", len(layers), 4),
        "outputs": str(num_outputs(network)),
    }
    content = "\n".join((*map(str, sizes.items()), *parts.values()))
    return Template(_HEADER).substitute(
        memory,
        **sizes,
        **parts,
        num_locations=network.num_locations,
        scenario=comment(network.scenario),
        objective=network.objective,
        parameters=network.num_parameters,
        checksum=f"{zlib.crc32(content.encode())}u",
    )


_HEADER = """\
/* Task offloading decisions of a trained network of streams. Written by offload_gym.export_c; do not edit.
 *
 * Scenario: $scenario; objective: $objective; $num_locations locations; $parameters parameters.
 * Memory: $flash bytes of weights, about $ram bytes of arrays on the stack; no allocation.
 * C99. Compile with -std=c99 or -ffp-contract=off, as fused products round in another way, and link with -lm.
 */
#ifdef OFFLOAD_GYM_POLICY_H
#if OFFLOAD_GYM_POLICY_H != $checksum
#error "two policies have the same names: give export_c another name for one of them"
#endif
#else
#define OFFLOAD_GYM_POLICY_H $checksum

#include <math.h>

#define OFFLOAD_GYM_NUM_LOCATIONS $num_locations
#define OFFLOAD_GYM_MAX_CORES $max_cores
#define OFFLOAD_GYM_DROP (-1) /* what offload_gym_decide returns to drop the job */

$given

/* What a device knows when a job arrives. All moments are on one clock in seconds, which began with the device; those
 * that have passed count as now. */
typedef struct {
    double now_s;
    /* The job, which is one task. */
    double input_bits, output_bits, workload_cycles;
    double deadline_s; /* after now; INFINITY where it has none */
    /* The device. */
    double device_hz;
    double uplink_bps, downlink_bps; /* that the radio is expected to have; in an outage the last ones before it */
    int outage;                      /* whether the uplink is in an outage */
    double radio_free_s;             /* when the radio has sent all that waits */
    int num_in_system;               /* jobs of this device that arrived before and are not complete */
    int num_devices;                 /* that share the servers and the spectrum, this one included */
    int num_others;                  /* of them, others that were sending at the last report on the servers */
    double report_age_s;             /* since that report; 0 where news are always fresh */
    offload_gym_radio radio;         /* all 0 at first; offload_gym_arrived changes it */
    /* When each core of each location is free; INFINITY where it has no such core. Location 0 is the device, the
     * servers follow, the cloud last. What this device has decided before counts, though it may be on its way. */
    double core_free_s[OFFLOAD_GYM_NUM_LOCATIONS][OFFLOAD_GYM_MAX_CORES];
    offload_gym_server servers[OFFLOAD_GYM_NUM_LOCATIONS - 1];
} offload_gym_state;

$structs

static inline double offload_gym_max(double a, double b)
{
    return a > b ? a : b;
}

static inline double offload_gym_min(double a, double b)
{
    return a < b ? a : b;
}

$kernels
$layers

/* The location of the job, or OFFLOAD_GYM_DROP. */
static inline int offload_gym_decide(const offload_gym_state *state)
{
    offload_gym_world world;
    offload_gym_system system;
    offload_gym_outlook outlook;
    float buffers[2][$widest], *a = buffers[0], *b = buffers[1];
    int chosen = 0, k;
    $filling
    offload_gym_weigh(&world, &outlook, 0, 0);
    offload_gym_observe(&world, &system, &outlook, 0, 0, a);
    $calls
    for (k = 1; k < $outputs; k++)
        if (a[k] > a[chosen])
            chosen = k;
    return chosen < OFFLOAD_GYM_NUM_LOCATIONS ? chosen : OFFLOAD_GYM_DROP;
}

/* Counts a job that arrived now: to be called after it was decided, dropped or not. */
static inline void offload_gym_arrived(offload_gym_radio *radio, double now_s)
{
    offload_gym_remember(radio, now_s);
}

#endif
"""
