"""What a device sees when jobs arrive in played streams, for tests of networks: networks of random weights, the states
and the observations."""

from itertools import pairwise

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.instances import INPUT, OUTPUT, WORKLOAD
from offload_gym.lending import lent
from offload_gym.streams.engine import admit, advance
from offload_gym.streams.networks import StreamNetwork
from offload_gym.streams.observing import observe, size_of
from offload_gym.streams.outlook import look, new_outlook, put, weigh
from offload_gym.streams.playing import play
from offload_gym.streams.policies import PlanPolicy
from offload_gym.streams.streams import StreamBatch
from offload_gym.streams.system import DROPPED, System, begin, new_system, system_of, world_of

#: The numbers of a state, see ``offload_gym.export_c``; besides there are cores and servers.
NUMBERS = (
    "now_s",
    "input_bits",
    "output_bits",
    "workload_cycles",
    "deadline_s",
    "device_hz",
    "uplink_bps",
    "downlink_bps",
    "outage",
    "radio_free_s",
    "num_in_system",
    "num_jobs",
    "last_arrival_s",
    "gap_s",
    "num_devices",
    "num_others",
    "report_age_s",
)


def random_network(*hidden, activation="relu", can_drop=False, num_locations=3, seed=0, **fields):
    """A network of random weights, such that activations neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    sizes = (size_of(num_locations), *hidden, num_locations + can_drop)
    layers = tuple(
        (rng.normal(0, 1.5 / np.sqrt(i), (o, i)).astype(np.float32), rng.normal(0, 0.1, o).astype(np.float32))
        for i, o in pairwise(sizes)
    )
    return StreamNetwork(layers, activation, num_locations, can_drop, {"made_by": "a test"}, **fields)


def balanced(network, observations):
    """The network with other biases in its last layer, such that it chooses all that it can, about as often.

    It does not read what is the same in all observations, as a deadline that never is: that would drown all else.
    """
    weight, bias = network.layers[0]
    varying = (observations != observations[0]).any(axis=0)
    network = network._replace(layers=((weight * varying, bias), *network.layers[1:]))
    scores = forward(network, observations)
    *layers, (weight, bias) = network.layers
    spread = scores.std(axis=0)
    weight, bias = weight / spread[:, None], (bias - scores.mean(axis=0)) / spread
    return network._replace(layers=(*layers, (weight.astype(np.float32), bias.astype(np.float32))))


def forward(network, observations):
    """Scores (B, outputs), in plain numpy and double precision."""
    x = observations.astype(np.float64)
    for weight, bias in network.layers[:-1]:
        x = x @ weight.T.astype(np.float64) + bias
        x = np.tanh(x) if network.activation == "tanh" else np.maximum(x, 0.0)
    weight, bias = network.layers[-1]
    return x @ weight.T.astype(np.float64) + bias


def played_states(streams, plan):
    """Observations (B, J, size), decisions (B, J), numbers (B, J) with the names NUMBERS, and when cores are free
    (B, J, K, cores), in streams of one-task jobs that a plan decides."""
    shape = len(streams), streams.num_jobs
    systems = new_system(streams)
    observations = np.zeros((*shape, size_of(streams.num_locations)), dtype=np.float32)
    decisions, numbers = play(streams, PlanPolicy(plan, "a test's"), 1).decisions, np.zeros((*shape, len(NUMBERS)))
    core_free_s = np.zeros((*shape, streams.num_locations, systems.core_free_s.shape[2]))
    _see(streams.arrays, tuple(systems), decisions, observations, numbers, core_free_s)
    return observations, decisions[:, :, 0], numbers, core_free_s


@kernel
def _see(arrays, systems, decisions, observations, numbers, core_free_s):
    """Play decided streams, and keep what is seen when jobs arrive."""
    batch, system = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0))
    memory = new_outlook(batch.servers.shape[1] + 1, system.core_free_s.shape[1], batch.tasks.shape[2])
    for b in range(len(observations)):
        world, outlook = lent(world_of(batch, b)), lent(memory)
        begin(world, system)
        for j in range(len(world.jobs)):
            job, d, row = world.jobs[j], world.jobs[j].device, numbers[b, j]
            advance(world, system, job.arrival_s, None)
            look(world, system, d, outlook)
            foreseen, radio = outlook.foreseen[0], system.radios[d]
            row[0] = foreseen.now_s
            row[1], row[2] = world.tasks[j, 0, INPUT], world.tasks[j, 0, OUTPUT]
            row[3], row[4] = world.tasks[j, 0, WORKLOAD], job.deadline_s
            row[5], row[6], row[7] = world.devices[d].hz, foreseen.uplink_bps, foreseen.downlink_bps
            row[8], row[9], row[10] = 1.0 if foreseen.outage else 0.0, foreseen.radio_s, foreseen.num_in_system
            row[11], row[12], row[13] = radio.num_jobs, radio.last_arrival_s, radio.gap_s
            row[14], row[15], row[16] = foreseen.num_devices, foreseen.num_others, foreseen.report_age_s
            core_free_s[b, j] = outlook.core_free_s
            weigh(world, outlook, j, 0)
            observe(world, system, outlook, j, 0, observations[b, j])
            # As deciding does: when the task is expected to be ready.
            if decisions[b, j, 0] != DROPPED:
                put(world, system, outlook, j, 0, decisions[b, j, 0])
            admit(world, system, j, decisions[b, j])
