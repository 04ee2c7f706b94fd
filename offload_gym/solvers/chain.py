"""The makespan of a sequential application, exactly, in O(n K^2).

Each task of a chain but the first needs the result of the one before it and nothing else. The state of the dynamic
program is a task i and its location k, its value the least finish time. This is exact because the tasks run one after
another: none ever waits for the send or the run of another one, only for what radio and cores were busy with in the
schedule given, that of the tasks before ``first``.

- No duration is negative, so all sends and runs of the tasks before i are over when task i - 1 finishes, and task i is
  ready no sooner. Durations of zero can make the two times equal, which is no wait either.
- Cores: let F be when the first core of k is free in the schedule given. If none of the tasks placed since is at k,
  task i starts there at max(ready, F). Otherwise the first one of them at k took the core that is free from F, and that
  core is free again when task i is ready, however long the other cores of k are busy: task i starts when it is ready.
  This is max(ready, F) too, as ready is no sooner than the run of that first one, which began at F or later.
- Radio: let R be when it is free in the schedule given. The first send starts at max(R, ready to send). Any later one
  finds the radio idle, as the send before is over, and that one began at R or later: max(R, ready to send) again.

So the finish of task i at k is a function of the location and the finish of task i - 1, whatever happened before, and
does not fall where that finish rises: the least finish is all there is to keep. Only the last task returns a result, so
the largest completion of the chain is its last. The makespan is the larger of that and of ``value_s``, the largest
completion in the schedule given, which no decision changes: it is least where the last completion is.

Rounding keeps order (a <= b gives a + c <= b + c in floating point as well), so the same holds of the computed numbers:
``evaluate`` says the same value of the decision, to the last bit, and no smaller one of any other.
"""

from __future__ import annotations

import numpy as np

from offload_gym.compilation import kernel
from offload_gym.delay import PATH, RETURN, RUN, SEND
from offload_gym.solvers.bounds import first_free


@kernel
def is_chain(problem):
    """Whether every task but the first has one parent, the task before it; a single task is a chain."""
    edge_start, edge_parent = problem.edge_start, problem.edge_parent
    n = len(edge_start) - 1
    is_path = len(edge_parent) == n - 1  # most graphs are told by this alone
    i = 1
    while is_path and i < n:
        # Task 0 has no parent, so where the tasks between have one each, the edge into i is edge i - 1.
        is_path = edge_start[i] == i - 1 and edge_parent[i - 1] == i - 1
        i += 1
    return is_path


@kernel
def solve_chain(problem, decision, start, finish_s):
    """Fill ``decision`` behind ``start`` so that the makespan of a chain is least, and return it.

    ``decision`` and ``finish_s`` (n,) hold the tasks before ``start.first``. Only ``decision`` is written. Of locations
    that come to the same, the lowest is taken, for the last task first.
    """
    first, radio_s = start.first, start.radio_s
    times, moves = problem.times, problem.moves
    n, num_locations = times.shape[:2]
    first_free_s = np.empty(num_locations)
    first_free(start.core_s, first_free_s)
    least_s = np.full(num_locations, np.inf)  # finish of the task at hand, by its location
    before_s = np.empty(num_locations)  # finish of the task before it
    came_from = np.zeros((n, num_locations), dtype=np.int64)  # where that one is
    if first > 0:
        least_s[decision[first - 1]] = finish_s[first - 1]  # the others stay infinite: that task is where it is
    for i in range(first, n):
        before_s[:] = least_s
        e = problem.edge_start[i]
        for k in range(num_locations):
            if i == 0:
                ready_s = radio_s + times[0, k, SEND] + times[0, k, PATH] if k > 0 else 0.0
                start_s = max(ready_s, first_free_s[k])
            else:
                start_s = np.inf
                for source in range(num_locations):
                    arrival_s = before_s[source]
                    if source == 0 and k > 0:
                        arrival_s = max(radio_s, arrival_s) + moves[e, source, k, SEND]
                    from_source_s = max(arrival_s + moves[e, source, k, PATH], first_free_s[k])
                    if from_source_s < start_s:
                        start_s = from_source_s
                        came_from[i, k] = source
            least_s[k] = start_s + times[i, k, RUN]
    best_s = np.inf
    decision[n - 1] = 0
    for k in range(num_locations):
        completion_s = least_s[k] + times[n - 1, k, RETURN]
        if completion_s < best_s:
            best_s = completion_s
            decision[n - 1] = k
    for i in range(n - 1, first, -1):
        decision[i - 1] = came_from[i, decision[i]]
    return max(start.value_s, best_s)
