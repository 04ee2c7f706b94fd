import inspect
import re
from itertools import product

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils import env_checker
from stable_baselines3.common import env_checker as sb3_env_checker

import offload_gym
from offload_gym.envs.joint import JointEnv
from offload_gym.observation import row_size, state_size
from offload_gym.observation_layout import columns, observation_size

JOINT, SEQUENTIAL = "offload_gym/Joint-v0", "offload_gym/Sequential-v0"
CASES = [
    ("default", "makespan"),
    ({"num_tasks": 2, "max_tasks": 5, "num_edges": 3}, "cost"),
    ({"name": "dag", "num_tasks": 4}, "cost"),
]
each_case = pytest.mark.parametrize(("scenario", "objective"), CASES)
both = pytest.mark.parametrize("env_id", [JOINT, SEQUENTIAL])


shown = pytest.mark.parametrize("roll_outs", [True, False])


@each_case
@shown
def test_the_layout_is_as_long_as_what_the_kernels_write(scenario, objective, roll_outs):
    made = offload_gym.scenario.as_scenario(scenario)
    n, K, dependent = made.most_tasks, made.num_locations, made.dependent
    size = n * row_size(K, dependent) + state_size(sum(made.cores), K, dependent, roll_outs)
    size += n * (n + K) * dependent + 2 * (objective == "cost")
    assert observation_size(n, made.cores, dependent, objective == "cost", roll_outs) == size
    assert len(columns(scenario, objective, roll_outs)) == size
    arguments = {"scenario": scenario, "objective": objective, "roll_outs": roll_outs}
    assert gym.make(JOINT, **arguments).observation_space.shape == (size,)


@each_case
def test_the_table_of_the_environment_is_the_layout(scenario, objective):
    made = offload_gym.scenario.as_scenario(scenario)
    n, K, cores = made.most_tasks, made.num_locations, made.cores
    expected = columns(made, objective)
    sizes = {"n": n, "K": K, "C": sum(cores), "R": row_size(K, made.dependent), "N": len(expected)}
    sizes["D"] = n * sizes["R"] + 3 + sum(cores) + 7 * K
    ranges = {"i": range(n), "j": range(n), "c": range(sum(cores)), "k": range(K)}

    def number(text, values):
        return eval(re.sub(r"(\d|[in] )(?=[kKRn]\b)", r"\1*", text), {}, sizes | values)

    of_forms = re.split(r"\n\n(?=Where the scenario has dependent|And under the objective)", inspect.getdoc(JointEnv))
    used = (True, made.dependent, objective == "cost")
    listed = {}
    for text, _ in filter(lambda form: form[1], zip(of_forms, used, strict=True)):
        for field, index, flat, unit, content in re.findall(r"\| (\w+)\[(.*?)\] \| (.*?) \| (.*?) \| (.*?) \|", text):
            # Every value of the symbols of the index; remote locations begin with 1.
            symbols = [symbol for symbol in ranges if re.search(rf"(?<![a-z]){symbol}\b", index)]
            for chosen in product(*(ranges[symbol] for symbol in symbols)):
                values = dict(zip(symbols, chosen, strict=True))
                if "remote" in content and values["k"] == 0:
                    continue
                position = number(flat, values)
                if field == "cores":
                    k = np.searchsorted(np.cumsum(cores), values["c"], side="right")
                    values |= {"k": int(k), "m": values["c"] - sum(cores[:k])}
                meaning = re.sub(r"\b[ijkm]\b", lambda symbol: str(values[symbol[0]]), content)  # noqa: B023
                assert position not in listed
                listed[position] = (field, tuple(number(part, values) for part in index.split(",")), unit, meaning)
    assert listed == {at: (c.field, c.index, c.unit, c.meaning) for at, c in enumerate(expected)}


@both
@each_case
@shown
def test_the_dict_has_the_numbers_of_the_vector_under_their_names(env_id, scenario, objective, roll_outs):
    arguments = {"scenario": scenario, "objective": objective, "num_epochs": 2, "roll_outs": roll_outs}
    flat, named = (gym.make(env_id, **arguments, observation=form) for form in ("flat", "dict"))
    table = columns(scenario, objective, roll_outs)
    seen = [env.reset(seed=1)[0] for env in (flat, named)]
    flattened = gym.wrappers.FlattenObservation(gym.make(env_id, **arguments, observation="dict"))
    again = flattened.reset(seed=1)[0]
    order = sorted(range(len(table)), key=lambda position: (table[position].field, table[position].index))
    named.action_space.seed(0)
    for _ in range(5):
        vector, fields = seen
        assert named.observation_space.contains(fields)
        assert fields["task_mask"].dtype == np.int8
        np.testing.assert_array_equal(vector, [fields[column.field][column.index] for column in table])
        np.testing.assert_array_equal(vector[order], again)
        action = named.action_space.sample()
        steps = [env.step(action) for env in (flat, named, flattened)]
        assert steps[0][1:] == steps[1][1:]
        seen, again, over = [step[0] for step in steps[:2]], steps[2][0], steps[0][2]
        if over:
            break


@both
@each_case
def test_without_roll_outs_the_rest_is_as_it_was(env_id, scenario, objective):
    """GIVEN the same seeds and actions THEN each number left is that of the same name with roll-outs."""
    arguments = {"scenario": scenario, "objective": objective, "num_epochs": 3}
    full, plain = (gym.make(env_id, **arguments, roll_outs=roll_outs) for roll_outs in (True, False))
    made = full.unwrapped.scenario
    many, few = (columns(scenario, objective, roll_outs) for roll_outs in (True, False))
    left = [at for at, column in enumerate(many) if column in few]
    # THEN what is missing is all options but completions: 2 for each location, 6 where tasks depend on each other
    assert len(many) - len(left) == (6 if made.dependent else 2) * made.num_locations
    assert {many[at].field for at in set(range(len(many))) - set(left)} == {"options"}
    assert [many[at] for at in left] == few
    seen = [env.reset(seed=4)[0] for env in (full, plain)]
    full.action_space.seed(0)
    over = False
    while not over:
        np.testing.assert_array_equal(seen[0][left], seen[1])
        action = full.action_space.sample()
        steps = [env.step(action) for env in (full, plain)]
        assert steps[0][1:] == steps[1][1:]
        seen, over = [step[0] for step in steps], steps[0][2]


def test_a_column_has_a_name_that_reads_it():
    fields, _ = gym.make(JOINT, scenario="dag", observation="dict").reset(seed=0)
    vector, _ = gym.make(JOINT, scenario="dag").reset(seed=0)
    column = columns("dag")[3]
    assert column.name == "tasks[0, 2]"
    assert eval(column.name, {}, fields) == vector[3]


@both
@each_case
@pytest.mark.filterwarnings("ignore:Your observation .* unconventional shape:UserWarning")
@shown
def test_checkers_find_nothing_in_the_dict(env_id, scenario, objective, roll_outs):
    arguments = {"scenario": scenario, "objective": objective, "num_epochs": 2, "roll_outs": roll_outs}
    env = gym.make(env_id, **arguments, observation="dict").unwrapped
    env_checker.check_env(env)
    sb3_env_checker.check_env(env)


def test_an_edge_of_a_graph_is_where_the_adjacency_has_it():
    env = gym.make(SEQUENTIAL, scenario="fork_join", observation="dict").unwrapped
    fields, _ = env.reset(seed=0)
    n = env.instances.num_tasks
    expected = np.zeros((n, n), dtype=bool)
    expected[tuple(np.transpose(env.instances.edges))] = True
    np.testing.assert_array_equal(fields["adjacency"] > 0, expected)
    # AND it moves with the rows once the first task is placed
    fields = env.step(0)[0]
    np.testing.assert_array_equal(fields["adjacency"][:-1, :-1] > 0, expected[1:, 1:])
    assert fields["task_mask"].tolist() == [1] * (n - 1) + [0]


@pytest.mark.parametrize(
    "make", [gym.make, lambda *a, **k: gym.make_vec(*a, vectorization_mode="vector_entry_point", **k)]
)
@pytest.mark.parametrize("form", ["graph", None, 3])
def test_an_unknown_form_is_refused(make, form):
    with pytest.raises(ValueError, match=rf"^observation is {form!r}; it must be 'flat' or 'dict'$"):
        make(JOINT, observation=form)
