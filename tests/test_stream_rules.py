"""The rules of streams: what each number prices, and the command that chooses the numbers."""

import json
import math
import pickle

import numpy as np
import pytest

from agents import stream_rules
from agents.__main__ import main
from agents.evolution import minimise
from agents.stream_rules import tune_rules, write_rules
from offload_gym import make_scenario
from offload_gym.random_numbers import stream, uniform
from offload_gym.streams.likeness import mean_rate, tuned_rules
from offload_gym.streams.playing import play
from offload_gym.streams.policies import (
    FOR_LATE,
    NAMES,
    RULE_SIZES,
    PlanPolicy,
    make_stream_policy,
    rule_plan,
)
from offload_gym.streams.responses import Outcome, stream_costs
from offload_gym.streams.sampling import sample_streams
from offload_gym.streams.streams import Streams


def jobs(*given, deadline_s=None, **changes):
    """One stream of jobs (arrival, bits, cycles) on a device of 1 cycle/s, with an edge and a cloud server of 2."""
    arrival_s, bits, cycles = np.array(given, dtype=float).T
    fields = {
        "arrival_s": arrival_s, "deadline_s": deadline_s, "input_bits": bits[:, None],
        "workload_cycles": cycles[:, None],
        "output_bits": np.zeros((len(given), 1)), "device_hz": [1.0], "cpu_hz": [2.0, 2.0], "cores": [1, 1],
        "wired_bps": [np.inf, np.inf], "propagation_s": [0.0, 9.0], "uplink_bps": [[1.0]], "downlink_bps": [[1.0]],
    } | changes  # fmt: skip
    return Streams(**{name: None if value is None else np.array([value]) for name, value in fields.items()})


def decided(streams, name, numbers, drop_factor=math.inf):
    return play(streams, PlanPolicy(rule_plan(name, np.array(numbers), drop_factor), name)).decisions[0, :, 0].tolist()


def priced(**numbers):
    """The numbers of queue-price by what they price."""
    names = ("radio", "radio_queue", "radio_device", "radio_own", "radio_jobs")
    names += ("device", "device_queue", "device_radio", "device_own", "device_jobs", "edge", "edge_queue")
    return [numbers.get(name, 0.0) for name in names]


# Job 1 arrives at 0.5: at the device 0.5 + 3 s (job 0 runs there until 1), at the edge 2 + 1.5 s; equal, and one price
# more moves it to the other place.
TWO = jobs((0.0, 9.0, 1.0), (0.5, 2.0, 3.0))


@pytest.mark.parametrize(
    ("price", "chosen"),
    [
        ("radio", 0),
        ("radio_device", 0),
        ("radio_own", 0),
        ("radio_jobs", 0),
        ("edge", 0),
        ("device", 1),
        ("device_queue", 1),
        ("device_own", 1),
        ("device_jobs", 1),
    ],
)
def test_each_price_counts_where_it_says(price, chosen):
    assert decided(TWO, "queue-price", priced(**{price: 0.1}))[1] == chosen
    assert decided(TWO, "queue-price", priced(**{price: -0.1}))[1] == 1 - chosen


@pytest.mark.parametrize(("price", "chosen"), [("radio_queue", 0), ("device_radio", 1)])
def test_prices_of_the_queue_of_the_radio(price, chosen):
    # Job 0 is sent until 1. Job 1 at 0.5: 3.5 s at the device; at the edge 0.5 + 1 + 0.35 = 1.85 s, so that a bonus on
    # the device makes both equal.
    streams = jobs((0.0, 1.0, 5.0), (0.5, 1.0, 3.5), cpu_hz=[10.0, 1.0])
    bonus = -(3.5 - 1.85) / 3.5
    assert decided(streams, "queue-price", priced(device=bonus, **{price: 0.1})) == [1, chosen]
    assert decided(streams, "queue-price", priced(device=bonus, **{price: -0.1})) == [1, 1 - chosen]


def test_late_price_drops_what_costs_more_than_a_job_counts():
    # On the device at 0.5 of the deadline: surely in time. A price of 0.4 a second of its 3 s is 1.2, above 1.
    streams = jobs((0.0, 99.0, 3.0), deadline_s=[6.0])
    numbers = [0.0] * RULE_SIZES["late-price"]
    assert decided(streams, "late-price", numbers, 1.0) == [0]
    numbers[5] = 0.4
    assert decided(streams, "late-price", numbers, 1.0) == [-1]
    # Where jobs may not be dropped, it goes to the edge server for 99 s, surely late: that counts 1 and has no price.
    assert decided(streams, "late-price", numbers) == [1]
    numbers[5] = 0.3  # 0.9 and the probability of exp(-12.5)
    assert decided(streams, "late-price", numbers, 1.0) == [0]


def test_late_price_is_for_late_alone():
    with pytest.raises(ValueError, match="objective is 'response'; for late-price it must be 'late'"):
        make_stream_policy("late-price", "stream_deadlines", "response")
    assert make_stream_policy("late-price", "stream_deadlines", "late").plan.drop_factor < math.inf


def test_the_numbers_of_the_nearest_rate_are_taken():
    rows = {
        row["arrivals_per_s"]: row for row in tuned_rules() if (row["scenario"], row["policy"]) == ("stream", "price")
    }
    for rate, nearest in ((1.0, 2.0), (7.1, 8.0), (40.0, 12.0)):
        plan = make_stream_policy("price", make_scenario("stream", arrivals_per_s=rate)).plan
        np.testing.assert_array_equal(plan.weights, rule_plan("price", np.array(rows[nearest]["numbers"])).weights)


def test_the_numbers_of_as_many_devices_come_before_those_of_the_rate(monkeypatch):
    def row(price, **of):
        named = {"scenario": "stream", "arrivals_per_s": 6.0, "objective": "response", "policy": "price"}
        named |= {"num_devices": 1, "report_s": 0.0}
        return named | {"numbers": [price, 0.0, 0.0], "drop_factor": None} | of

    rows = [row(1.0), row(2.0, num_devices=8, arrivals_per_s=2.0), row(3.0, num_devices=8, report_s=1.0)]
    monkeypatch.setattr("offload_gym.streams.likeness.tuned_rules", lambda: rows)
    for devices, report_s, rate, price in (
        (1, 0.0, 2.0, 1.0),
        (2, 0.0, 2.0, 1.0),
        (6, 0.0, 6.0, 2.0),
        (8, 0.9, 2.0, 3.0),
    ):
        scenario = make_scenario("stream", num_devices=devices, report_s=report_s, arrivals_per_s=rate)
        expected = rule_plan("price", np.array([price, 0.0, 0.0])).weights
        np.testing.assert_array_equal(make_stream_policy("price", scenario).plan.weights, expected)


@pytest.mark.parametrize("name", ["price", "queue-price", "max-weight", "student"])
def test_what_a_scenario_is_like_counts_before_the_name_of_its_preset(name):
    """Eight devices that share servers, under the name of either preset."""
    given = {"num_devices": 8, "arrivals_per_s": 3.4, "num_jobs": 1600}
    named, other = (make_stream_policy(name, make_scenario(preset, **given)) for preset in ("stream_cell", "stream"))
    for ours, theirs in zip(named.plan, other.plan, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_each_scenario_that_was_tuned_for_has_its_own_numbers():
    for row in tuned_rules():
        if row["numbers"]:
            given = {name: row[name] for name in ("arrivals_per_s", "num_devices", "report_s")}
            plan = make_stream_policy(row["policy"], make_scenario(row["scenario"], **given), row["objective"]).plan
            own = rule_plan(row["policy"], np.array(row["numbers"]), row["drop_factor"] or math.inf)
            np.testing.assert_array_equal(plan.weights, own.weights)


def test_applications_do_not_get_the_numbers_of_single_tasks():
    frames = make_scenario("stream", applications=["alexnet"], arrivals_per_s=20.0)
    plan, own = (make_stream_policy("queue-price", one).plan for one in (frames, "stream_applications"))
    assert not np.array_equal(plan.weights, make_stream_policy("queue-price").plan.weights)
    (row,) = [
        row
        for row in tuned_rules()
        if (row["scenario"], row["policy"], row["arrivals_per_s"]) == ("stream_applications", "queue-price", 20.0)
    ]
    np.testing.assert_array_equal(plan.weights, rule_plan("queue-price", np.array(row["numbers"])).weights)
    assert own.kind == plan.kind


@pytest.mark.parametrize(("name", "place"), [("local", 0), ("edge", 1), ("cloud", 2)])
def test_fixed_places_are_fixed_in_an_outage_before_which_no_rate_was_seen(name, place):
    given = {"name": "stream", "outage_share": 0.4, "outage_s": 5.0, "num_jobs": 30}
    decisions = play(sample_streams(given, 40, 0), make_stream_policy(name)).decisions
    assert (decisions == place).all()


def test_policies_survive_pickling():
    for name in NAMES:
        objective = "late" if name in FOR_LATE else "response"
        policy = make_stream_policy(name, objective=objective)
        assert type(pickle.loads(pickle.dumps(policy))) is type(policy)


def test_the_objective_is_the_scenarios_own_where_none_is_given():
    dropping, plain = (make_stream_policy("greedy", name) for name in ("stream_deadlines", "stream"))
    assert dropping.plan.drop_factor == make_stream_policy("greedy", "stream_deadlines", "late").plan.drop_factor < 9.0
    assert plain.plan.drop_factor == math.inf
    assert make_stream_policy("greedy", "stream_deadlines", "response").plan.drop_factor == math.inf
    assert make_stream_policy("student", "stream_deadlines").network.objective == "late"


def test_where_arrivals_are_recorded_their_rate_counts(tmp_path):
    path = tmp_path / "arrivals.csv"
    path.write_text("arrival_s\n3.0\n3.05\n3.2\n3.3\n")  # 3 gaps in 0.3 s: 10 jobs/s
    recorded = make_scenario("stream", arrivals="trace", arrivals_path=str(path), arrivals_per_s=None)
    assert mean_rate(recorded) == pytest.approx(10.0)
    as_fast = make_scenario("stream", arrivals_per_s=10.0)
    numbers = [make_stream_policy("queue-price", scenario).plan.weights for scenario in (recorded, as_fast)]
    np.testing.assert_array_equal(*numbers)


def test_all_tuned_rules_can_be_made_and_stand_in_order():
    keys = [tuple(row[name] for name in stream_rules.KEY) for row in tuned_rules()]
    assert keys == sorted(set(keys))
    for row in tuned_rules():
        assert len(row["numbers"]) == RULE_SIZES.get(row["policy"], 0)
        given = {name: row[name] for name in ("arrivals_per_s", "num_devices", "report_s")}
        scenario = make_scenario(row["scenario"], **given)
        make_stream_policy(row["policy"], scenario, row["objective"])
    for name in ("stream", "stream_deadlines", "stream_applications"):
        assert any(row["scenario"] == name for row in tuned_rules())


def test_costs_of_streams():
    streams = jobs((0.0, 1.0, 1.0), (0.0, 1.0, 1.0), energy_weight_s_per_j=2.0)
    late, lost = np.array([[True, False]]), np.zeros((1, 2), dtype=bool)
    outcome = Outcome(np.zeros((1, 2, 1)), np.array([[1.0, 2.0]]), late, np.array([[0.5, 1.0]]), lost)
    assert stream_costs(streams, outcome, "response") == 3.0
    assert stream_costs(streams, outcome, "late") == 0.5
    assert stream_costs(streams, outcome, "cost") == 3.0 + 2.0 * 1.5


def test_minimise_finds_the_bottom_of_a_bent_valley():
    found, least = minimise(lambda x: float(100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2), np.zeros(2), 600, 0)
    np.testing.assert_allclose(found, [1.0, 1.0], atol=1e-3)
    assert least < 1e-6
    assert minimise(lambda x: abs(float(x[0]) - 3.0), np.zeros(1), 100, 0)[1] < 0.05


def test_tuning_gains_and_writes_rows(tmp_path):
    path = tmp_path / "rules.json"
    kept = {"scenario": "a", "num_devices": 1, "report_s": 0.0, "arrivals_per_s": 1.0, "objective": "late"}
    kept |= {"policy": "price", "numbers": [1.0]}
    path.write_text(json.dumps([kept]))
    scenario = make_scenario("stream", arrivals_per_s=8.0, num_jobs=60)
    rows = tune_rules([scenario], policies=["price", "queue-price"], num_streams=20, num_evaluations=60, path=path)
    assert [row["policy"] for row in rows] == ["price", "queue-price"]
    assert rows[0]["change"] <= 0.0
    assert rows[1]["change"] <= 0.0
    assert json.loads(path.read_text()) == [kept, *rows]
    write_rules(path, [rows[0] | {"numbers": [0.0, 0.0, 0.0]}])
    assert [row["numbers"] for row in json.loads(path.read_text())][1] == [0.0, 0.0, 0.0]


def test_when_to_drop_is_tuned_for_rules_without_numbers():
    scenario = make_scenario("stream_deadlines", num_jobs=20)
    (row,) = tune_rules([scenario], "late", policies=["greedy"], num_streams=5)
    assert row["numbers"] == []
    assert row["drop_factor"] in stream_rules.DROP_FACTORS
    # The rule that goes with the objective alone, and those that drop nothing.
    assert tune_rules([scenario], "response", policies=["greedy", "late-price"], num_streams=5) == []


def test_bad_input_is_one_sentence(capsys):
    assert main(["tune-rules", "--num-streams", "0"]) == 2
    assert main(["tune-rules", "--policies", "greedyy"]) == 2
    assert main(["tune-rules", "--arrivals-per-s", "-1"]) == 2
    assert main(["tune-rules", "--arrivals", "nowhere.csv"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" is ")[0] for line in lines[:3]] == [
        "error: num_streams",
        "error: policy",
        "error: arrivals_per_s",
    ]
    assert "nowhere.csv" in lines[3]
    assert len(lines) == 4


def test_two_choices_takes_the_sooner_of_two_places_drawn_at_random():
    """The device takes 4 s, the edge server 1 + 2 s, the cloud server more: 2/3 of the pairs have the edge server."""
    arrivals_s = [100.0 * j for j in range(2000)]
    streams = jobs(*((arrival_s, 1.0, 4.0) for arrival_s in arrivals_s))
    policy = make_stream_policy("two-choices", make_scenario("stream_cell"))
    chosen = play(streams, policy).decisions.ravel()
    assert (np.bincount(chosen, minlength=3) / 2000) == pytest.approx([1 / 3, 2 / 3, 0], abs=0.04)
    starts = [np.uint64(stream(j, 0, int(arrival_s * 2**30))) for j, arrival_s in enumerate(arrivals_s)]
    pairs = [(uniform(start, 0), uniform(start, 1)) for start in starts]
    order = [1, 0, 2]  # the soonest first
    for k, (u, v) in zip(chosen, pairs, strict=True):
        one = int(3 * u)
        assert k == min(one, (one + 1 + int(2 * v)) % 3, key=order.index)


def test_two_choices_draws_others_in_other_streams():
    scenario = make_scenario("stream_cell", num_jobs=80)
    chosen = play(sample_streams(scenario, 30, 0), make_stream_policy("two-choices", scenario)).decisions[:, :, 0]
    # Were the pairs the same in all streams, no job would be at more than two places.
    assert np.mean([len(np.unique(of_job)) == 3 for of_job in chosen.T]) > 0.5


def test_nearest_looks_at_all_tasks_of_a_job():
    scenario = make_scenario("stream_applications", num_jobs=10, num_edges=3)
    batch = sample_streams(scenario, 2, 0).batch
    batch.servers["propagation_s"][:, :3] = [0.03, 0.02, 0.01]
    chosen = play(Streams.from_batch(batch), make_stream_policy("nearest", scenario)).decisions
    assert (chosen[Streams.from_batch(batch).present] == 3).all()


def test_nearest_is_the_edge_server_with_the_shortest_path_however_long_its_queue():
    """Two edge servers, the second of which is at the site of the device; the cloud is never taken."""
    given = [(0.01 * j, 1.0, 9.0) for j in range(9)]
    servers = {"cpu_hz": [2.0, 2.0, 9.0], "cores": [1, 1, 1], "wired_bps": [1.0, 1.0, np.inf]}
    sites = {"propagation_s": [0.0] * 3, "server_site": [5, 0, -1], "home_propagation_s": [0.0] * 3}
    streams = jobs(*given, **servers, **sites)
    policy = make_stream_policy("nearest", make_scenario("stream_mobile"))
    assert (play(streams, policy).decisions == 2).all()
    with pytest.raises(ValueError, match="num_edges is 0; the policy 'nearest' needs an edge server"):
        make_stream_policy("nearest", make_scenario("stream", num_edges=0))
