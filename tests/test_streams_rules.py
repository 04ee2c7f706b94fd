"""Each rule of the stream model by a small stream worked out by hand, in plain Python, in SimPy and in the kernel.

Units are small: cores do 1 cycle a second, radios send 1 bit a second, wired paths take no time, and there is one core
everywhere, where not said otherwise.
"""

import numpy as np
import pytest
from naive_streams import naive_stream
from simpy_streams import simpy_stream

from offload_gym.streams.streams import Streams

INF = np.inf


def world(jobs, decisions, edges=(), edge_bits=None, **changes):
    """A stream of jobs (arrival, device, tasks), each task (input, cycles, output), and the decisions for it.

    Changes are fields of ``Streams`` without the axis of the batch.
    """
    arrival_s, device, tasks = zip(*jobs, strict=True)
    of_task = np.array(tasks, dtype=float)
    fields = {
        "device_hz": [1.0] * (max(device) + 1),
        "cpu_hz": [1.0, 1.0],
        "cores": [1, 1],
        "wired_bps": [INF, INF],
        "propagation_s": [0.0, 0.0],
        "uplink_bps": [[1.0]] * (max(device) + 1),
    } | changes
    fields = {"downlink_bps": np.ones_like(fields["uplink_bps"])} | fields
    if edges:
        fields["edge_bits"] = edge_bits
    streams = Streams(
        arrival_s=[arrival_s],
        device=[device],
        input_bits=of_task[None, :, :, 0],
        workload_cycles=of_task[None, :, :, 1],
        output_bits=of_task[None, :, :, 2],
        edges=edges,
        **{name: value if name == "slot_s" else np.array([value]) for name, value in fields.items()},
    )
    return streams, np.array([decisions])


def in_plain_python(streams, decisions):
    return naive_stream(streams, 0, decisions).response_s


def in_simpy(streams, decisions):
    return simpy_stream(streams, 0, decisions)


def in_the_kernel(streams, decisions):
    from offload_gym.streams.responses import response_times

    return response_times(streams, decisions)[0]


@pytest.fixture(params=[in_plain_python, in_simpy, in_the_kernel])
def play(request):
    return request.param


@pytest.fixture
def completes(play):
    """``completes(world, times)``: that the jobs of a world complete at these times."""

    def check(given, times):
        streams, decisions = given
        np.testing.assert_allclose(play(streams, decisions), np.array(times) - streams.arrival_s[0], atol=1e-9)

    return check


@pytest.fixture(params=["plain Python", "kernel"])
def takes(request):
    """``takes(world, joules)``: that the jobs of a world take this energy."""

    def check(given, joules):
        if request.param == "kernel":
            from offload_gym.streams.responses import job_energy

            found = job_energy(*given)[0]
        else:
            found = naive_stream(given[0], 0, given[1]).energy_j
        np.testing.assert_allclose(found, joules, rtol=1e-9)

    return check


def test_devices_that_send_share_the_spectrum(completes):
    # Job 0 alone until 1: 2 of its 4 bits. Both at 1 bit/s: job 1 has sent its bit at 2, job 0 has 1 left: 2 + 1 / 2.
    jobs = [(0, 0, [(4, 0, 0)]), (1, 1, [(1, 0, 0)])]
    completes(world(jobs, [[1], [1]], uplink_bps=[[2], [2]]), [2.5, 2])


def test_the_share_is_of_the_rate_to_the_server_that_each_sends_to(completes):
    # Ratios 1 and 4: 2 * 1 / 2 = 1 bit/s and 2 * 4 / 2 = 4 bit/s until job 1 is sent at 4 / 4 = 1, then 2: 1 + 3 / 2.
    jobs = [(0, 0, [(4, 0, 0)]), (0, 1, [(4, 0, 0)])]
    completes(world(jobs, [[1], [2]], uplink_bps=[[2], [2]], rate_ratio=[1, 4]), [2.5, 1])


OUTAGE = {"uplink_bps": [[2, 0, 2], [2, 2, 2]]}


def test_only_the_devices_of_a_site_share_its_spectrum(completes):
    # Devices 0 and 1 share site 0: 1 bit/s each. Device 2 is alone at site 1: 2 bit/s.
    jobs = [(0, device, [(2, 0, 0)]) for device in range(3)]
    completes(world(jobs, [[1], [1], [1]], uplink_bps=[[2]] * 3, site=[[0], [0], [1]]), [2, 2, 1])


def test_a_device_takes_its_transmission_along_from_site_to_site(completes):
    # Until 1 all three at site 0 send 2 of their 8 bits at 6 / 3 bit/s. Then device 0 is alone at site 1: 6 bits at 6,
    # sent at 2. The others have 6 left at 3 bit/s: 3.
    jobs = [(0, device, [(8, 0, 0)]) for device in range(3)]
    moves = {"site": [[0, 1, 1], [0, 0, 0], [0, 0, 0]]}
    completes(world(jobs, [[1], [1], [1]], uplink_bps=[[6, 6, 6]] * 3, **moves), [2, 3, 3])


def test_a_server_at_the_site_of_the_device_has_no_wired_path(completes):
    # Server 1 stands at site 0, server 2 at none. Device 0 is at site 0: sent at 1, 0.25 to the server, where the task
    # takes 1 s, and 0.25 + 1 back: 3.5. Device 1 is at site 1: 1 + (1 / 2 + 0.5) + 1 + (1 / 2 + 0.5) + 1 = 5. The 4
    # bit/s and 1 s of propagation of server 2 hold for all: 1 + 1.25 + 1 + 1.25 + 1.
    paths = {"wired_bps": [2, 4], "propagation_s": [0.5, 1], "server_site": [0, -1], "home_propagation_s": [0.25, 9]}
    both = {"site": [[0], [1]], "cores": [2, 2], **paths}
    jobs = [(0, 0, [(1, 1, 1)]), (0, 1, [(1, 1, 1)])]
    completes(world(jobs, [[1], [1]], **both), [3.5, 5])
    completes(world(jobs, [[2], [2]], **both), [5.5, 5.5])


def test_what_is_on_its_way_leaves_from_where_the_device_is(completes):
    # Sent at 2, when the device has been at site 1 for 1 s: over the wired path, 4 / 4 + 0.5, to server 1 at site 0 at
    # 3.5, where the task ends at 4.5. By then the device is back, so that the result takes 0.25 and 1 s.
    moves = {"site": [[0, 1, 1, 0, 0]], "server_site": [0, -1], "home_propagation_s": [0.25, 0]}
    rates = {"uplink_bps": [[2] * 5], "downlink_bps": [[1] * 5]}
    jobs = [(0, 0, [(4, 1, 1)])]
    completes(world(jobs, [[1]], wired_bps=[4, INF], propagation_s=[0.5, 0], **moves, **rates), [5.75])


def test_bad_sites_are_one_sentence():
    jobs = [(0, 0, [(1, 1, 1)])]
    for changes, sentence in (
        ({"site": [[0, 0]]}, r"site has the shape \(1, 1, 2\); it must be \(1, 1, 1\)"),
        ({"site": [[-1]]}, r"site\[0, 0, 0\] is -1"),
        ({"site": [[np.nan]]}, r"site\[0, 0, 0\] is nan.* from 0 to 9,999"),
        ({"site": [[INF]]}, r"site\[0, 0, 0\] is inf.* from 0 to 9,999"),
        ({"site": [[1e15]]}, r"site\[0, 0, 0\] is 1000000000000000.0.* from 0 to 9,999"),
        ({"server_site": [0.5, 0]}, r"server_site\[0, 0\] is 0.5.* from -1 to 9,999"),
        ({"server_site": [0, 0], "home_propagation_s": [-1, 0]}, r"home_propagation_s\[0, 0\] is -1"),
        ({"home_propagation_s": [1, 0]}, "home_propagation_s is given; without server_site it must be None"),
    ):
        with pytest.raises(ValueError, match=sentence):
            world(jobs, [[1]], **changes)


def test_a_device_in_an_outage_keeps_its_transmission_and_takes_no_share(completes):
    # Slot 0: 1 bit each. Slot 1: job 1 alone sends 2 of 3 bits. From 2 on 1 bit/s each: job 1 until 3, when job 0 has
    # 4 - 1 - 1 = 2 left, at 2 bit/s.
    jobs = [(0, 0, [(4, 0, 0)]), (0, 1, [(4, 0, 0)])]
    completes(world(jobs, [[1], [1]], **OUTAGE), [4, 3])


def test_a_radio_in_an_outage_goes_on_with_what_it_began(completes):
    # Job 0 has 1 of 3 bits left when the outage begins at 1, and job 1, with 0 bits, waits for it until 2.5.
    jobs = [(0, 0, [(3, 0, 0)]), (1.5, 0, [(0, 0, 0)])]
    completes(world(jobs, [[1], [1]], uplink_bps=[[2, 0, 2]]), [2.5, 2.5])


def test_the_rate_changes_in_the_middle_of_a_transmission(completes):
    # Slots of 0.5 s: 0.25 s at 4 bit/s, 0.5 s at 2 bit/s, and of 6 bits the last 4 at 1 bit/s from 1 on.
    completes(world([(0.25, 0, [(6, 0, 0)])], [[1]], uplink_bps=[[4, 2, 1]], slot_s=0.5), [5])


def test_at_its_end_a_slot_is_over_and_what_ends_then_is_sent(completes):
    # What begins at 1 is sent at the 4 bit/s of slot 1; what ends at 1 is sent although an outage begins.
    completes(world([(1, 0, [(4, 0, 0)])], [[1]], uplink_bps=[[1, 4]]), [2])
    completes(world([(0, 0, [(1, 0, 0)])], [[1]], uplink_bps=[[1, 0, 1]]), [1])


def test_a_radio_sends_what_has_waited_longest(completes):
    # Job 0 runs until 3 on the device and then has 1 bit for its second task; jobs 1 and 2 have waited since 1 and 2.
    # Sent: job 1 at 1 + 4 = 5, job 2 at 6, job 0 at 7.
    jobs = [(0, 0, [(0, 3, 0), (0, 0, 0)])] + [(at, 0, [(bits, 0, 0), (0, 0, 0)]) for at, bits in ((1, 4), (2, 1))]
    completes(world(jobs, [[0, 1], [1, 1], [1, 1]], edges=[(0, 1)], edge_bits=[[1], [0], [0]]), [7, 5, 6])


def test_of_equal_waits_the_radio_sends_the_lower_job_then_the_lower_task(completes):
    # Sent at 1, 3 (job 0) and 6, 7 (job 1); each task takes 1 s at a server of two cores: 2, 4 and 7, 8.
    jobs = [(0, 0, [(1, 1, 0), (2, 1, 0)]), (0, 0, [(3, 1, 0), (1, 1, 0)])]
    completes(world(jobs, [[1, 1], [1, 1]], cores=[2, 2]), [4, 8])


def test_of_equal_waits_for_one_task_the_radio_sends_the_lower_parent(completes):
    # Two cores: both parents end at 1. Parent 0: 4 bits, sent at 5, over the wired path at 9; parent 1: 1 bit, 6, 7.
    # The other way round parent 1 would be there at 3 and parent 0 at 2 + 4 + 4 = 10.
    jobs = [(0, 0, [(0, 1, 0), (0, 1, 0), (0, 0, 0)])]
    graph = {"edges": [(0, 2), (1, 2)], "edge_bits": [[4, 1]]}
    completes(world(jobs, [[0, 0, 1]], **graph, device_cores=[2], wired_bps=[1, 1]), [9])


def test_a_result_crosses_the_wired_path_and_drains_over_the_slots(completes):
    # 0 bits to the server: there at 0.125. Back: 4 / 16 + 0.125, so that the rest begins at 0.5. At ratio 2: 1 bit in
    # slot 0, an outage in slot 1, and 3 bits at 2 bit/s.
    changes = {"wired_bps": [16, INF], "propagation_s": [0.125, 0], "rate_ratio": [2, 1]}
    rates = {"uplink_bps": [[1, 1, 1]], "downlink_bps": [[1, 0, 1]]}
    completes(world([(0, 0, [(0, 0, 4)])], [[1]], **changes, **rates), [3.5])


def test_the_way_back_is_neither_contended_nor_shared(completes):
    # Both devices send from 0 to 2; all results take 3 s from then, that of device 1 though job 2 began at 2, too.
    jobs = [(0, 0, [(1, 0, 3)]), (0, 1, [(1, 0, 3)]), (0, 1, [(0, 0, 3)])]
    completes(world(jobs, [[1], [2], [1]]), [5, 5, 5])


def test_from_server_to_server_both_wired_paths_are_crossed_and_no_radio(completes):
    # Sent at 1, at server 1 at 1 + 1 / 2 + 0.25 = 1.75, ends at 2.75. To server 2: 4 / 2 + 4 / 8 + 0.25 + 0.5 = 3.25.
    # From 6 on 1 cycle at 2 cycles/s, and back 2 / 8 + 0.5 + 2 / 1 = 2.75.
    changes = {"wired_bps": [2, 8], "propagation_s": [0.25, 0.5], "cpu_hz": [1, 2]}
    jobs = [(0, 0, [(1, 1, 0), (0, 1, 2)])]
    completes(world(jobs, [[1, 2]], edges=[(0, 1)], edge_bits=[[4]], **changes), [9.25])


def test_edges_to_and_from_the_device(completes):
    # Job 0: sent at 1, at the server at 1.5, ends at 2.5, its 2 bits on the device at 2.5 + 0.5 + 2 = 5, where the next
    # task ends at 6. Its 3 bits wait for job 1, which is sent from 5.5 to 7.5: sent at 10.5, there at 11, ends at 12.
    # Its result takes 0.5 + 1. Job 1 is there at 8, at once at its other places, and back at 8 + 0.5 + 1.
    jobs = [(0, 0, [(1, 1, 0), (0, 1, 0), (0, 1, 1)]), (5.5, 0, [(2, 0, 0), (0, 0, 0), (0, 0, 1)])]
    graph = {"edges": [(0, 1), (1, 2)], "edge_bits": [[2, 3], [7, 7]]}
    completes(world(jobs, [[1, 0, 1], [1, 1, 1]], **graph, propagation_s=[0.5, 0]), [13.5, 9.5])


def test_an_inner_task_returns_no_output_and_one_with_parents_sends_no_input(completes):
    # Input 1 bit, then 2 tasks of 1 s at the same server, then 1 bit of result; the 9s have no effect.
    jobs = [(0, 0, [(1, 1, 9), (9, 1, 1)])]
    completes(world(jobs, [[1, 1]], edges=[(0, 1)], edge_bits=[[9]]), [4])


def test_what_overtakes_on_the_wired_path_runs_first(completes):
    # Job 0: sent at 4 / 4 = 1, at the server at 1 + 4 / 1 = 5. Job 1: sent at 1.25, there at 2.25, runs until 7.25, and
    # job 0 after it.
    jobs = [(0, 0, [(4, 5, 0)]), (0, 0, [(1, 5, 0)])]
    completes(world(jobs, [[1], [1]], uplink_bps=[[4]], wired_bps=[1, INF]), [12.25, 7.25])


def test_a_free_core_takes_what_became_ready_first(completes):
    # Until 4 the core runs job 0. Then it is the turn of job 2, ready since 1, before the second task of job 1, ready
    # since 2, when the first one ended at the server.
    jobs = [(0, 0, [(0, 4, 0), (0, 0, 0)]), (0, 0, [(0, 2, 0), (0, 1, 0)]), (1, 0, [(0, 3, 0), (0, 0, 0)])]
    graph = {"edges": [(0, 1)], "edge_bits": [[0], [0], [0]]}
    # Job 2 ends at 7, job 1 at 8. The second tasks of jobs 0 and 2, of no work, ready since 4 and 7, wait until then.
    completes(world(jobs, [[0, 0], [1, 0], [0, 0]], **graph), [8, 8, 8])


def test_each_core_takes_the_next_task_when_it_is_free(completes):
    # Two cores of 2 cycles/s: until 3 and 1; job 2 from 1 to 3.5, job 3 from 3 to 3.5.
    jobs = [(0, 0, [(0, cycles, 0)]) for cycles in (6, 2, 5, 1)]
    completes(world(jobs, [[0]] * 4, device_cores=[2], device_hz=[2]), [3, 1, 3.5, 3.5])


def test_each_device_has_cores_of_its_own_and_servers_are_shared(completes):
    # On the devices 2 s each; of the two at the server, which are there at 0, the lower job goes first.
    jobs = [(0, device, [(0, 2, 0)]) for device in (0, 1, 0, 1)]
    completes(world(jobs, [[0], [0], [1], [1]]), [2, 2, 2, 4])


def test_of_what_becomes_ready_at_one_moment_the_lower_job_then_the_lower_task_goes_first(completes):
    # On the device the tasks end at 1, 3 (job 0), 4, 6 (job 1). At the server all is there at 2, as both devices send
    # 1 bit at 1/2 bit/s: job 2 ends at 5, job 3 at 6.
    jobs = [(0, 0, [(0, 1, 0), (0, 2, 0)])] * 2
    completes(world(jobs, [[0, 0], [0, 0]]), [3, 6])
    completes(world([(0, 1, [(1, 3, 0)]), (0, 0, [(1, 1, 0)])], [[1], [1]]), [5, 6])


def test_what_follows_from_a_task_without_work_comes_before_the_next_task(completes):
    # (0, 0) has no work and ends at 0, so that (0, 1) is ready at 0 and runs before job 1.
    jobs = [(0, 0, [(0, 0, 0), (0, 2, 0)]), (0, 0, [(0, 1, 0), (0, 0, 0)])]
    completes(world(jobs, [[0, 0], [0, 0]], edges=[(0, 1)], edge_bits=[[5], [5]]), [2, 3])


def test_radios_choose_before_cores(completes):
    # Both jobs arrive at 0. The radio takes the input of job 1, 3 bits, as the 2 bits of job 0 are not there before its
    # first task, of no work, has had a core.
    jobs = [(0, 0, [(0, 0, 0), (0, 0, 0)]), (0, 0, [(3, 0, 0), (0, 0, 0)])]
    completes(world(jobs, [[0, 1], [1, 1]], edges=[(0, 1)], edge_bits=[[2], [0]]), [5, 3])


def test_what_was_given_a_core_before_ends_before_radios_choose(completes):
    # Job 0 has the core until 1 and, after it, the first task of job 1, of no work, ends at 1. Its 2 bits and the input
    # of job 2 wait since 1: job 1 is sent at 3, job 2 at 6.
    jobs = [(0, 0, [(0, 1, 0), (0, 0, 0)]), (0, 0, [(0, 0, 0), (0, 0, 0)]), (1, 0, [(3, 0, 0), (0, 0, 0)])]
    completes(world(jobs, [[0, 0], [0, 1], [1, 1]], edges=[(0, 1)], edge_bits=[[0], [2], [0]]), [1, 3, 6])


def test_what_takes_no_time_happens_at_once_in_an_outage_and_within_a_queue(completes):
    # Nothing has a size: all is complete at 0, although radios are silent in both directions until 1.
    silent = {"uplink_bps": [[0, 1]], "downlink_bps": [[0, 1]]}
    graph = {"edges": [(0, 1), (1, 2)], "edge_bits": [[0, 0]]}
    completes(world([(0, 0, [(0, 0, 0)] * 3)], [[1, 0, 2]], **graph, **silent), [0])
    # Job 1, of 0 bits, has its turn when job 0 is sent, at 1 + 4.
    completes(world([(0, 0, [(4, 0, 0)]), (0, 0, [(0, 0, 0)])], [[1], [1]], **silent), [5, 5])


def test_what_follows_comes_first_also_at_another_place(completes):
    # Job 0's first task, of no work, ends at 0 at the server, so that its second one is ready at 0 on the device and
    # runs before that of job 1.
    jobs = [(0, 0, [(0, 0, 0), (0, 3, 0)]), (0, 0, [(0, 1, 0), (0, 0, 0)])]
    completes(world(jobs, [[1, 0], [0, 0]], edges=[(0, 1)], edge_bits=[[0], [0]]), [3, 4])


def test_a_dropped_job_uses_nothing_and_never_responds(completes):
    jobs = [(0, 0, [(4, 0, 0)]), (0, 0, [(2, 1, 1)])]
    completes(world(jobs, [[-1], [1]]), [INF, 4])


@pytest.mark.parametrize("way", ["uplink_bps", "downlink_bps"])
def test_a_job_that_never_completes_is_an_error(play, completes, way):
    # 1 of 2 bits in slot 0, and then nothing for ever.
    rates = {"uplink_bps": [[1, 1]], "downlink_bps": [[1, 1]]} | {way: [[1, 0]]}
    with pytest.raises(ValueError, match="never completes"):
        play(*world([(0, 0, [(2, 0, 2)])], [[1]], **rates))
    completes(world([(0, 0, [(2, 1, 2)])], [[0]], **rates), [1])


def test_a_response_that_no_number_holds_is_not_blamed_on_the_radio():
    with pytest.raises(ValueError, match="job 0 of stream 0 never completes: its response is more than a number holds"):
        in_the_kernel(*world([(0, 0, [(2, 0, 2)])], [[1]], propagation_s=[1e308, 0.0]))


def test_bits_of_edges_are_said_as_they_are_given():
    three = [(0, 0, [(1, 1, 1), (1, 1, 1)])] * 3
    graph = {"decisions": [[0, 0]] * 3, "edges": [(0, 1)]}
    with pytest.raises(
        ValueError, match=r"^edge_bits has the shape \(1, 3, 2\); it must be \(1, 3, 1\), one number an"
    ):
        world(three, **graph, edge_bits=[[1, 1]] * 3)
    with pytest.raises(ValueError, match=r"^edge_bits\[0, 1, 0\] is -1\.0; it must be finite and at least 0"):
        world(three, **graph, edge_bits=[[1], [-1], [1]])


def test_energy_is_of_cycles_on_the_device_and_of_seconds_of_sending(takes):
    # Device 0 sends in slot 0 and from 2 to 4, device 1 from 0 to 3, at 0.5 W.
    jobs = [(0, 0, [(4, 0, 0)]), (0, 1, [(4, 0, 0)])]
    takes(world(jobs, [[1], [1]], **OUTAGE, transmit_w=0.5), [0.5 * 3, 0.5 * 3])
    # 5 cycles of 2**2 * 0.25 J on the device, the 3 bits of the edge, and a job that was dropped.
    jobs = [(0, 0, [(9, 5, 0), (0, 7, 9)]), (0, 0, [(9, 9, 9), (9, 9, 9)])]
    graph = {"edges": [(0, 1)], "edge_bits": [[3], [9]]}
    power = {"device_hz": [2], "kappa": 0.25, "transmit_w": 0.5}
    takes(world(jobs, [[0, 1], [-1, -1]], **graph, **power), [5 * 2**2 * 0.25 + 0.5 * 3, 0])
