"""What becomes of a job if one of its tasks goes to a location: against plain Python, and against the exact solver."""

import numpy as np
import pytest
from random_streams import random_stream

import offload_gym
from offload_gym.compilation import kernel
from offload_gym.lending import lent
from offload_gym.streams.engine import admit, advance, is_exit
from offload_gym.streams.lookahead import look_ahead
from offload_gym.streams.outlook import FORESEEN, OPTION, look, new_outlook, put, weigh
from offload_gym.streams.policies import PlanPolicy, rule_plan
from offload_gym.streams.streams import CHILD, PARENT, StreamBatch
from offload_gym.streams.system import System, begin, new_system, system_of, world_of

FIELDS = ("job_s", "job_send_s", "job_run_s", "rest_price")


@kernel
def looked(arrays, systems, decisions, prices, second, foreseen, cores_s, options, finish_s):
    """Play a stream, and keep what is known before each task is placed."""
    batch, system = lent(StreamBatch(*arrays)), lent(system_of(System(*systems), 0))
    n, num_locations = batch.tasks.shape[2], batch.servers.shape[1] + 1
    memory = new_outlook(num_locations, system.core_free_s.shape[1], n)
    world, outlook = lent(world_of(batch, 0)), lent(memory)
    begin(world, system)
    for j in range(len(world.jobs)):
        advance(world, system, world.jobs[j].arrival_s, None)
        look(world, system, world.jobs[j].device, outlook)
        for i in range(world.jobs[j].num_tasks):
            weigh(world, outlook, j, i)
            for k in range(num_locations):
                outlook.prices[k].send, outlook.prices[k].run = prices[k, 0], prices[k, 1]
            foreseen[j, i], cores_s[j, i], finish_s[j, i] = outlook.foreseen[0], outlook.core_free_s, outlook.finish_s
            if not is_exit(world, j, i):
                look_ahead(world, outlook, j, i, second)
            options[j, i] = outlook.options
            put(world, system, outlook, j, i, decisions[j, i])
        admit(world, system, j, decisions[j])


def in_plain_python(streams, j, i, k, decision, finish_s, foreseen, cores_s, options, prices, second):
    """The same four numbers: the best (value, finish, price, sending, running at k) of each later task, everywhere."""
    batch = streams.batch
    job, servers = batch.jobs[0, j], batch.servers[0]
    hz = [batch.devices["hz"][0, job["device"]], *servers["cpu_hz"]]
    now_s, n = foreseen["now_s"], job["num_tasks"]
    edges = batch.graph_edges[job["graph"]][:, [PARENT, CHILD]][: batch.graph_start[job["graph"], n, 0]].tolist()
    up = [0.0, *(foreseen["uplink_bps"] * servers["rate_ratio"])]
    down = [0.0, *(foreseen["downlink_bps"] * servers["rate_ratio"])]
    wired = [0.0, *servers["wired_bps"]]
    beyond = [0.0, *servers["propagation_s"]]
    option = options[k]
    radio_s = option["radio_free_s"]
    tasks, bits_of = batch.tasks[0, j], batch.edge_bits[0, j]

    def cross(k, bits):
        if servers["site"][k - 1] == foreseen["site"]:
            return servers["home_propagation_s"][k - 1]
        return bits / wired[k] + beyond[k]

    def back(k, bits):
        return cross(k, bits) + (bits / down[k] if bits else 0.0)

    start_s = now_s + option["ready_s"] + option["core_wait_s"] + option["run_s"]
    met = {(i, k): (second * (start_s - now_s), start_s, 0.0, option["send_s"], option["run_s"])}
    for parent in range(i):
        value = second * (finish_s[parent] - now_s)
        met[parent, decision[parent]] = (value, finish_s[parent], 0.0, 0.0, 0.0)
    parents = {t: [(p, bits_of[e]) for e, (p, c) in enumerate(edges) if c == t] for t in range(n)}
    children = {p for p, _ in edges}
    results = []
    for t in range(i + 1, n):
        done = []
        for there in range(len(hz)):
            ways, latest_s = [], now_s
            for parent, bits in parents[t]:
                best = (np.inf, np.inf, 0.0, 0.0, 0.0)
                for at in range(len(hz)):
                    if (parent, at) not in met:
                        continue
                    value, done_s, price, send_s, work_s = met[parent, at]
                    if value == np.inf:
                        continue
                    there_s, sent_s = done_s, 0.0
                    if at == 0 and there > 0:
                        sent_s = bits / up[there] if bits else 0.0
                        there_s = max(radio_s, done_s) + sent_s + cross(there, bits)
                    elif at > 0 and there == 0:
                        there_s += back(at, bits)
                    elif at != there:
                        there_s += cross(at, bits) + cross(there, bits)
                    fee = prices[there, 0] * sent_s
                    way = (value + second * (there_s - done_s) + fee, there_s, price + fee, send_s + sent_s, work_s)
                    best = min(best, way, key=lambda found: found[0])
                ways.append(best)
                latest_s = max(latest_s, best[1])
            if not parents[t]:
                bits = tasks[t, 0]
                sent_s = bits / up[there] if there and bits else 0.0
                latest_s = radio_s + sent_s + cross(there, bits) if there else now_s
                fee = prices[there, 0] * sent_s
                ways.append((second * (latest_s - now_s) + fee, latest_s, fee, sent_s, 0.0))
            value, _, price, send_s, work_s = max(ways, key=lambda way: way[0])
            run_s = tasks[t, 2] / hz[there]
            begin_s = max(latest_s, cores_s[there].min())
            fee = prices[there, 1] * run_s
            value += second * (begin_s + run_s - latest_s) + fee
            end_s = begin_s + run_s
            if t not in children and there:
                value += second * back(there, tasks[t, 1])
                end_s += back(there, tasks[t, 1])
            met[t, there] = (value, end_s, price + fee, send_s, work_s + (run_s if there == k else 0.0))
            done.append(met[t, there])
        if t not in children:
            results.append(min(done, key=lambda found: found[0]))
    if i not in children:
        return option["completion_s"], option["send_s"], option["run_s"], 0.0
    _, end_s, price, send_s, work_s = max(results, key=lambda found: found[0])
    return max(end_s, foreseen["done_s"]) - now_s, send_s, work_s, price


@pytest.mark.parametrize("second", [1.0, 0.3])
def test_what_follows_is_placed_as_in_plain_python(second):
    rng = np.random.default_rng(3)
    compared = 0
    for _ in range(150):
        streams, decisions = random_stream(rng)
        decisions = np.maximum(decisions, 0)
        shape, num_locations = (streams.num_jobs, streams.num_tasks), streams.num_locations
        foreseen, options = np.zeros(shape, dtype=FORESEEN), np.zeros((*shape, num_locations), dtype=OPTION)
        systems = new_system(streams)
        cores_s = np.zeros((*shape, num_locations, systems.core_free_s.shape[2]))
        finish_s = np.zeros((*shape, streams.num_tasks))
        prices = rng.uniform(-1.0, 2.0, (num_locations, 2))
        known = foreseen, cores_s, options, finish_s
        looked(streams.arrays, tuple(systems), decisions[0], prices, second, *known)
        for j, i in zip(*np.nonzero(streams.present[0]), strict=True):
            if foreseen[j, i]["uplink_bps"] == 0.0 or foreseen[j, i]["downlink_bps"] == 0.0:
                continue
            for k in range(num_locations):
                decided = decisions[0, j], finish_s[j, i]
                expected = in_plain_python(
                    streams, j, i, k, *decided, foreseen[j, i], cores_s[j, i], options[j, i], prices, second
                )
                found = [options[j, i, k][name] for name in FIELDS]
                np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg=f"job {j}, task {i}, location {k}")
                compared += 1
    assert compared > 3000


def test_it_is_exact_for_one_chain():
    """A chain in an empty system: the exact solver finds no better place for its tasks."""
    chains = ("alexnet", "vgg16", "resnet18", "resnet50", "mobilenet_v2", "tiny_yolo_v2")
    scenario = offload_gym.make_scenario("stream_applications", applications=chains, num_jobs=1, slot_s=100.0)
    streams = offload_gym.sample_streams(scenario, 300, seed=5)
    ahead = offload_gym.play(streams, PlanPolicy(rule_plan("price", np.zeros(3)), "ahead"))
    best = offload_gym.play(streams, offload_gym.make_stream_policy("exact", scenario))
    np.testing.assert_allclose(ahead.response_s, best.response_s, rtol=1e-9)
    assert len(np.unique(ahead.decisions)) == 3
