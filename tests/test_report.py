import base64
import io
import json
import re
import shutil

import gymnasium as gym
import numpy as np
import pytest
from matplotlib.image import imread

from agents.networks import TaskNetwork, save_policy, to_runtime
from benchmarks.__main__ import main
from benchmarks.report import explorer
from benchmarks.report.page import page, read_comparisons, read_curves, read_streams, write_report
from benchmarks.statistics import TAUS, profile
from offload_gym import Instances, latency, make_policy, make_scenario, schedule, solve
from offload_gym.scenario import described, digest_of

SEED = 3
CURVE = "0.5 0.4;3.0 0.05;9.0 0.02"


def row(policy, gap, us, **changes):
    values = {
        "policy": policy, "scenario": "default", "num_tasks": 8, "num_edges": 1, "objective": "makespan",
        "num_instances": 4, "gap_mean": gap, "gap_mean_low": gap / 2, "gap_mean_high": 2 * gap,
        "gap_p95": 3 * gap, "gap_max": 3 * gap, "profile": profile(np.array([0.0, 0.0, gap, 3 * gap])),
        "exact_match": 0.25, "label_accuracy": 0.5, "optimal_share": 0.5, "decide_us_p50": us, "decide_us_p99": 2 * us,
        "decisions_per_s": 1e6 / us, "num_parameters": 2383 if policy == "student" else 0,
    }  # fmt: skip
    return values | changes


ROWS = [row("greedy", 0.11, 2.6), row("student", 0.01, 5.5), row("slow", 0.3, 40.0), row("exact", 0.0, 19.6)]


def stream_row(policy, change, **changes):
    values = {
        "policy": policy, "scenario": "stream", "arrivals_per_s": 6.0, "num_devices": 1, "objective": "response",
        "response_mean_s": 0.5, "response_p95_s": 1.5, "response_p99_s": 2.5, "late_share": 0.0, "change": change,
        "change_low": change, "change_high": change, "hindsight_share": None, "decide_us_p50": 2.5, "num_parameters": 0,
        "energy_mean_j": 0.1, "shipped": policy == "student", "sweep": None, "num_streams": 400,
    }  # fmt: skip
    return values | changes


STREAM_ROWS = [
    stream_row("local", 40.0),
    stream_row("greedy", 0.0, hindsight_share=0.0),
    stream_row("queue-price", -0.15, hindsight_share=0.6, change_low=-0.16, change_high=-0.14),
    stream_row("planner", -0.17, hindsight_share=0.7, num_streams=40, decide_us_p50=500.0),
    stream_row("student", -0.2, decide_us_p50=3.0, num_parameters=2419),
    # Nothing is late under greedy, so that no change over it can be said.
    stream_row("greedy", None, objective="late", change_low=None, change_high=None),
    stream_row("student", None, objective="late", change_low=None, change_high=None, late_share=0.01),
]


def small_agent(path, curve=CURVE, scenario_fields=None):
    network = to_runtime(TaskNetwork("joint", make_scenario().cores, (4,), (4,)))
    said = {"scenario": "default", "trained_tasks": (8, 8), "scenario_fields": scenario_fields}
    save_policy(path, network._replace(metadata={"learning_curve": curve}, **said))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A report of two comparisons, one learning curve, and two comparisons of streams."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "rows.json").write_text(json.dumps([*ROWS, row("greedy", 0.12, 3.0, num_tasks=12)]))
    (folder / "streams.json").write_text(json.dumps(STREAM_ROWS))
    (folder / "agents").mkdir()
    small_agent(folder / "agents/dqn-sequential.safetensors")
    files = ["--policies", str(folder / "rows.json"), "--agents", str(folder / "agents"), "--seed", str(SEED)]
    files += ["--streams", str(folder / "streams.json")]
    assert main(["report", str(folder / "out"), *files]) == 0
    return folder / "out/index.html"


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_needs_nothing_else(written):
    text = written.read_text(encoding="utf-8")
    assert len(text) < 2e6
    assert set(re.findall(r"https?://[^\"'\s]*", text)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<link[^>]*stylesheet|<script[^>]*src|@import|\$\{(style|script|data)\}", text)
    data = data_of(text)
    assert [comparison["title"] for comparison in data["comparisons"]] == [
        "default, n = 8, K = 3, makespan",
        "default, n = 12, K = 3, makespan",
    ]
    assert data["comparisons"][0]["front"] == ["greedy", "student", "exact"]
    assert data["curves"][0]["agents"] == [
        {"policy": "dqn-sequential", "points": [[0.5, 0.4], [3.0, 0.05], [9.0, 0.02]]}
    ]
    assert data["curves"][0]["beside"] == [{"policy": "greedy", "gap": 0.11}]


def test_devices_that_move_come_onto_the_page(written):
    moving = data_of(written.read_text(encoding="utf-8"))["moving"]
    kind, png = moving["image"].split(",")
    assert kind == "data:image/png;base64"
    # The picture of the environment, in which the map is right of the chart.
    env = gym.make("offload_gym/Stream-v0", scenario="stream_mobile", render_mode="rgb_array")
    env.reset(seed=0)
    pixels = imread(io.BytesIO(base64.b64decode(png)), format="png")
    assert pixels.shape[:2] == env.render().shape[:2]
    assert float(moving["now"].removesuffix(" s")) > 0
    assert (moving["devices"], moving["sites"]) == (8, 4)


def test_titles_say_which_streams(tmp_path):
    rows = [stream_row("greedy", 0.0, num_devices=8, report_s=report_s, failure_share=0.1) for report_s in (0.0, 1.0)]
    (tmp_path / "streams.json").write_text(json.dumps(rows))
    assert [comparison["title"] for comparison in read_streams(tmp_path / "streams.json")] == [
        "stream, 6 jobs/s, 8 devices, edge servers down 10 % of the time, response",
        "stream, 6 jobs/s, 8 devices, reports every 1 s, edge servers down 10 % of the time, response",
    ]


def test_streams_come_onto_the_page(tmp_path, capsys):
    path = tmp_path / "streams.json"
    rows = [stream_row("greedy", 0.0), stream_row("student", -0.2), stream_row("greedy", 0.0, arrivals_per_s=8.0)]
    path.write_text(json.dumps([*rows, stream_row("greedy", 0.0, sweep="load")]))
    first, second = read_streams(path)
    assert (first["title"], second["title"]) == ("stream, 6 jobs/s, response", "stream, 8 jobs/s, response")
    assert [row["policy"] for row in first["rows"]] == ["greedy", "student (shipped)"]
    assert "hindsight_share" not in first["rows"][0]  # it was not computed
    assert capsys.readouterr().out == f"left out 1 of 4 rows of {path}: they are of a sweep\n"
    out = write_report(tmp_path, [], None, SEED, [path])
    assert data_of(out.read_text(encoding="utf-8"))["streams"][0] == json.loads(json.dumps(first))


def test_what_rows_say_of_seeds_differences_and_profiles_comes_onto_the_page(tmp_path):
    policies, streams = tmp_path / "rows.json", tmp_path / "streams.json"
    of_seeds = {"num_seeds": 5, "gap_least_seed": 0.01, "gap_most_seed": 0.02, "against": "greedy", "difference": -0.09}
    policies.write_text(json.dumps([row("student", 0.01, 3.0, **of_seeds), row("greedy", 0.11, 2.6, num_seeds=1)]))
    rows = read_comparisons(policies)[0]["rows"]
    assert rows[0].items() >= of_seeds.items()
    # Of one seed there is nothing to say.
    policies.write_text(json.dumps([row("greedy", 0.11, 2.6, **of_seeds | {"num_seeds": 1})]))
    (one,) = read_comparisons(policies)[0]["rows"]
    assert not one.keys() & {"num_seeds", "gap_least_seed", "gap_most_seed"}
    of_seeds = {"num_seeds": 2, "change_least_seed": -0.3, "change_most_seed": -0.1, "profile": [0.5] * len(TAUS)}
    streams.write_text(json.dumps([stream_row("student", -0.2, **of_seeds)]))
    assert read_streams(streams)[0]["rows"][0].items() >= of_seeds.items()
    streams.write_text(json.dumps([stream_row("student", -0.2, profile=[0.5])]))
    with pytest.raises(ValueError, match=r"has \[0.5\] as profile in row 0"):
        read_streams(streams)
    data = data_of(write_report(tmp_path, [policies], None, SEED).read_text(encoding="utf-8"))
    assert data["taus"] == list(TAUS)


def test_streams_of_unlike_scenarios_are_not_mixed(tmp_path):
    path = tmp_path / "streams.json"
    path.write_text(json.dumps([stream_row("greedy", 0.0, scenario_digest=digest) for digest in ("a", "b", "a")]))
    assert [len(comparison["rows"]) for comparison in read_streams(path)] == [2, 1]


@pytest.mark.parametrize(
    ("rows", "said"),
    [({}, "holds no list of rows"), ([stream_row("a", "b")], "'b' as change in row 0"), ([{}], "no policy in row 0")],
)
def test_what_is_no_row_of_streams(tmp_path, rows, said):
    (tmp_path / "streams.json").write_text(json.dumps(rows))
    with pytest.raises(ValueError, match=f"{said}.*benchmarks streams --json"):
        read_streams(tmp_path / "streams.json")


def instance_at(mbps, ms, num_tasks):
    """A grid point through the checked constructor."""
    epoch = explorer.chosen_epoch(SEED, {name: make_policy(name) for name in ("exact", "greedy")})
    ratio = epoch.downlink_bps[0, 1] / epoch.uplink_bps[0, 1]
    return Instances(
        **{name: getattr(epoch, name)[:, :num_tasks] for name in ("input_bits", "output_bits", "workload_cycles")},
        **{name: getattr(epoch, name) for name in ("cpu_hz", "cores", "wired_bps", "propagation_s")},
        backlog_s=[[epoch.backlog_s[0, 0], ms / 1e3, 0.0]],
        uplink_bps=[[np.inf, 1e6 * mbps, 1e6 * mbps]],
        downlink_bps=[[np.inf, ratio * 1e6 * mbps, ratio * 1e6 * mbps]],
    )


@pytest.mark.parametrize(("mbps", "ms", "num_tasks"), [(16, 100, 8), (4, 600, 8), (80, 0, 12), (6.5, 300, 2)])
@pytest.mark.filterwarnings("ignore:the policy .*was trained on")
def test_a_grid_point_is_what_the_kernel_says(written, mbps, ms, num_tasks):
    grid = data_of(written.read_text(encoding="utf-8"))["explorer"]
    place = [grid[axis].index(value) for axis, value in
             (("uplink_mbps", mbps), ("backlog_ms", ms), ("num_tasks", num_tasks))]  # fmt: skip
    instance = instance_at(mbps, ms, num_tasks)
    optimum = solve(instance)
    assert optimum.optimal.all()
    for name, numbers in zip(grid["policies"], grid["points"][place[0]][place[1]][place[2]], strict=True):
        decision = make_policy(name).decide(instance)
        value_s = latency(instance, decision)[0]
        drawn = schedule(instance, decision[0])
        assert numbers[0] == round(1e6 * value_s)
        assert numbers[1] == pytest.approx(1e6 * (value_s / optimum.latency_s[0] - 1), abs=1)
        tasks = np.array(numbers[2:]).reshape(num_tasks, 7)
        np.testing.assert_array_equal(tasks[:, :2], np.stack([drawn.location, drawn.core], axis=1))
        times = np.where(tasks[:, 2:] < 0, np.nan, tasks[:, 2:] / 1e4)
        np.testing.assert_allclose(times, np.stack(drawn[2:7], axis=1), atol=0.51e-4)
        if name == "exact":
            assert numbers[1] == 0


def test_an_infinite_gap_is_never_on_the_front(tmp_path):
    rows = [row("a", 0.0, 1.0, gap_mean=None, gap_p95=None, gap_max=None), *ROWS]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    (comparison,) = read_comparisons(tmp_path / "rows.json")
    assert comparison["front"] == ["greedy", "student", "exact"]
    assert comparison["rows"][0]["gap_mean"] is None


def test_an_interval_over_few_training_seeds_may_begin_below_0(tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps([row("a", 0.05, 1.0, gap_mean_low=-0.01)]))
    (comparison,) = read_comparisons(tmp_path / "rows.json")
    assert comparison["rows"][0]["gap_mean_low"] == -0.01


def test_no_text_ends_the_script():
    text = page({"comparisons": [{"title": "</script><b>"}]})
    assert "</script><b>" not in text
    assert data_of(text)["comparisons"][0]["title"] == "</script><b>"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "rows.json cannot be read: No such file or directory"),
        ("{", "rows.json is not JSON"),
        ("{}", "holds no list of rows"),
        ("[]", "holds no list of rows"),
        ('[{"what": "kernel", "rate_per_s": 1}]', "has no policy in row 0"),
        (json.dumps([ROWS[0] | {"gap_mean": "1 %"}]), "has '1 %' as gap_mean in row 0"),
        (json.dumps([ROWS[0] | {"decide_us_p50": None}]), "has None as decide_us_p50 in row 0"),
        (json.dumps([ROWS[0] | {"decide_us_p50": 0}]), "has 0 as decide_us_p50 in row 0"),
        (json.dumps([ROWS[0] | {"observation_noise": [1]}]), "has [1] as observation_noise in row 0"),
        (json.dumps([ROWS[0] | {"profile": "x"}]), "has 'x' as profile in row 0"),
        (json.dumps([ROWS[0] | {"profile": [1, 0.5]}]), "as profile in row 0"),
        (json.dumps([ROWS[0] | {"against": 3}]), "has 3 as against in row 0"),
        (json.dumps([ROWS[0] | {"difference": "x"}]), "has 'x' as difference in row 0"),
        (json.dumps([ROWS[0] | {"gap_with_delay": float("nan")}]), "has nan as gap_with_delay in row 0"),
        ("[" * 100_000, "rows.json is not JSON"),
    ],
)
def test_other_files_give_one_sentence(text, sentence, tmp_path, capsys):
    path = tmp_path / "rows.json"
    if text is not None:
        path.write_text(text)
    assert main(["report", str(tmp_path / "out"), "--policies", str(path), "--agents", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_other_folders_give_one_sentence(tmp_path, capsys):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS))
    small_agent(tmp_path / "ppo.safetensors", curve="1.0 0.1;nan 2")
    for arguments, sentence in (
        ([str(path)], "rows.json is a file; it must be a folder"),
        ([str(tmp_path / "out"), "--agents", str(tmp_path / "nowhere")], "nowhere is not a folder"),
        (
            [str(tmp_path / "out"), "--agents", str(tmp_path)],
            "; it must be pairs of seconds and a gap, with semicolons",
        ),
        ([str(tmp_path / "out"), "--seed", "-1"], "seed is -1; it must be at least 0"),
    ):
        assert main(["report", "--policies", str(path), *arguments]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert len(error.splitlines()) == 1


def test_without_options_it_reads_what_the_demo_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report"]) == 2
    assert "results/policies.json cannot be read" in capsys.readouterr().err
    (tmp_path / "results/agents").mkdir(parents=True)
    small_agent(tmp_path / "results/agents/ppo.safetensors")
    (tmp_path / "results/policies.json").write_text(json.dumps(ROWS[:2]))
    (tmp_path / "results/front.json").write_text(json.dumps(ROWS[2:]))
    assert main(["report"]) == 0
    data = data_of((tmp_path / "results/report/index.html").read_text(encoding="utf-8"))
    assert [len(comparison["rows"]) for comparison in data["comparisons"]] == [2, 2]
    assert data["curves"][0]["agents"][0]["policy"] == "ppo"
    assert {beside["policy"] for beside in data["curves"][0]["beside"]} == {"greedy"}


def test_a_folder_without_agents_has_no_curves(tmp_path):
    assert read_curves(tmp_path, []) == []


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A headless Chromium; sizes and colour schemes are emulated, as its window cannot be as narrow as a phone."""
    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if not all(found.values()):
        pytest.fail("chromium and chromedriver are needed; on Debian: apt-get install chromium chromium-driver", False)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = found["chromium"]
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for switch in ("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run",
                   "disable-background-networking", "disable-component-update", "disable-sync",
                   f"user-data-dir={tmp_path_factory.mktemp('profile')}"):  # fmt: skip
        options.add_argument(f"--{switch}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(found["chromedriver"]))
    yield driver
    driver.quit()


def shown(browser, path, width=1600, scheme="light"):
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())
    wait(browser, "#front figure > svg")
    wait(browser, "#schedule-greedy svg .point")


def wait(browser, selector):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda driver: driver.find_element(By.CSS_SELECTOR, selector))


def texts(browser, selector):
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map((one) => one.textContent)", selector
    )


def move_to(browser, slider, index):
    browser.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        slider,
        index,
    )


# Each text with its colour against the first opaque background behind it, by WCAG 2.
CONTRASTS = """
const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
const luminance = (colour) => {
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const [r, g, b] = parse(colour).map((part) => linear(part / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const opaque = (colour) => colour !== "none" && (parse(colour)[3] ?? 1) === 1;
const behind = (element) => {
  if (element.matches("text.number")) return getComputedStyle(element.previousElementSibling).fill;
  while (element.parentElement && !opaque(getComputedStyle(element).backgroundColor)) element = element.parentElement;
  return getComputedStyle(element).backgroundColor;
};
return [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && !one.closest("script, select, .skip") &&
    [...one.childNodes].some((child) => child.nodeType === 3 && child.data.trim()))
  .map((one) => {
    const style = getComputedStyle(one);
    const [a, b] = [luminance(one.closest("svg") ? style.fill : style.color), luminance(behind(one))];
    return [one.textContent.slice(0, 40), (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
  });
"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1600])
def test_the_page_fits_and_can_be_read(browser, written, width, scheme):
    shown(browser, written, width, scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    box = "const box = document.querySelector('#table .scroll'); return box.scrollWidth > box.clientWidth"
    assert browser.execute_script(box) == (width == 400)
    names = browser.execute_script("return [...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(set(names)) == len(names)
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 150
    assert not [(text, ratio) for text, ratio in contrasts if ratio < 4.5]
    dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 27)"
    assert dark == (scheme == "dark")
    assert browser.get_log("browser") == []


@pytest.mark.browser
@pytest.mark.filterwarnings("ignore:the policy .*was trained on")
def test_sliders_show_the_schedules_of_the_kernel(browser, written):
    shown(browser, written)
    before = texts(browser, "#schedules .value, #schedules rect.bar")
    places = [explorer.UPLINK_MBPS.index(32), explorer.BACKLOG_MS.index(300), explorer.NUM_TASKS.index(5)]
    for slider, place in zip(("uplink", "backlog", "tasks"), places, strict=True):
        move_to(browser, slider, place)
    assert texts(browser, "#sliders output") == ["32 Mbit/s", "300 ms", "5 tasks"]
    assert texts(browser, "#schedules .value, #schedules rect.bar") != before
    instance = instance_at(32, 300, 5)
    optimum_s = solve(instance).latency_s[0]
    values = texts(browser, "#schedules .value")
    for name, value in zip(explorer.POLICIES, values, strict=True):
        decision = make_policy(name).decide(instance)
        value_s = latency(instance, decision)[0]
        gap = "the optimum" if name == "exact" else f"gap {100 * (value_s / optimum_s - 1):.2f} %"
        assert value == f"{1e3 * value_s:,.1f} ms, {gap}"
        drawn = schedule(instance, decision[0])
        cells = texts(browser, f"#schedule-{name} tbody td:last-child")
        assert cells == [f"{1e3 * seconds:,.1f}" for seconds in drawn.completion_s]
        sent = int(np.isfinite(drawn.send_start_s).sum())
        assert len(texts(browser, f"#schedule-{name} rect.bar")) == 5 + sent
    assert f"student {values[1].split(',')[0]}" in texts(browser, "#said")[0]


@pytest.mark.browser
def test_pointer_and_keyboard_show_a_policy(browser, written):
    from selenium.webdriver import ActionChains, Keys

    shown(browser, written)
    tooltip = wait(browser, "body > #tooltip")
    assert not tooltip.is_displayed()
    ActionChains(browser).move_to_element(wait(browser, '#front .point[aria-label^="student"]')).perform()
    assert tooltip.text.splitlines() == [
        "student",
        "mean gap 1.00 %",
        "decision 5.5 µs (median), 11.0 µs (99th percentile)",
        "2,383 parameters",
    ]
    ActionChains(browser).move_to_element(wait(browser, "h1")).perform()
    assert not tooltip.is_displayed()
    # By rising delay: greedy first, then the student.
    browser.execute_script("document.querySelector('#front .point[tabindex=\"0\"]').focus()")
    assert tooltip.text.startswith("greedy\n")
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert tooltip.text.startswith("student\n")
    ActionChains(browser).send_keys(Keys.END).perform()
    assert tooltip.text.startswith("slow\n")
    slider = wait(browser, "#uplink")
    slider.send_keys(Keys.HOME)
    assert texts(browser, "#sliders output")[0] == "4 Mbit/s"


@pytest.mark.browser
def test_comparison_columns_and_policies_are_chosen(browser, written):
    shown(browser, written)
    assert texts(browser, "#table tbody th") == ["exact", "student", "greedy", "slow"]
    for expected in (["greedy", "student", "exact", "slow"], ["slow", "exact", "student", "greedy"]):
        browser.execute_script("document.querySelectorAll('#table thead button')[7].click()")
        assert texts(browser, "#table thead th")[7] == "p50 µs"
        assert texts(browser, "#table tbody th") == expected
    assert texts(browser, "#distribution .legend li") == ["greedy", "student", "exact"]
    browser.execute_script("document.querySelector('#distribution input:not(:checked)').click()")
    assert texts(browser, "#distribution .legend li") == ["slow", "greedy", "student", "exact"]
    assert texts(browser, "#curves .legend li") == ["dqn-sequential"]
    browser.execute_script(
        "const chooser = document.getElementById('comparison'); chooser.value = 1;"
        "chooser.dispatchEvent(new Event('change'))"
    )
    assert texts(browser, "#table tbody th") == ["greedy"]
    assert browser.get_log("browser") == []


@pytest.mark.browser
def test_streams_are_drawn_and_sorted(browser, written):
    from selenium.webdriver import ActionChains

    shown(browser, written)
    assert texts(browser, "#streams h3") == ["stream, 6 jobs/s, response", "stream, 6 jobs/s, late"]
    assert not wait(browser, "#streams .missing").is_displayed()
    # What is much worse than greedy is in the table alone; where nothing has a change, there is no chart.
    assert len(browser.find_elements("css selector", "#streams figure")) == 1
    wait(browser, "#streams figure > svg")
    assert len(texts(browser, "#streams figure .point")) == 4
    assert texts(browser, "#streams .legend li") == ["heuristic or search", "student"]
    assert {"greedy", "queue-price", "planner", "student (shipped)"} <= {*texts(browser, "#streams figure text")}
    point = wait(browser, '#streams .point[aria-label^="queue-price"]')
    browser.execute_script("arguments[0].scrollIntoView({behavior: 'instant', block: 'center'})", point)
    ActionChains(browser).move_to_element(point).perform()
    assert wait(browser, "#tooltip").text.splitlines() == ["queue-price", "change -15.0 %", "decision 2.5 µs"]

    first, second = browser.find_elements("css selector", "#streams table")
    names = "return [...arguments[0].querySelectorAll('tbody th')].map((one) => one.textContent)"
    click = "arguments[0].querySelectorAll('thead button')[arguments[1]].click()"
    assert browser.execute_script(names, first) == ["student (shipped)", "planner", "queue-price", "greedy", "local"]
    heads = texts(browser, "#streams table:first-of-type thead th")[:10]
    assert heads[:3] == ["policy", "change %", "streams"]
    browser.execute_script(click, first, 2)
    assert browser.execute_script(names, first)[0] == "planner"  # the fewest streams
    cells = "return [...arguments[0].rows[1].cells].map((one) => one.textContent)"
    expected = ["planner", "-17.0 [-17.0, -17.0]", "40", "0.500", "1.500", "2.500", "0.0", "0.100", "70", "500.0", ""]
    assert browser.execute_script(cells, first) == expected
    browser.execute_script(click, first, heads.index("of hindsight %"))
    browser.execute_script(click, first, heads.index("of hindsight %"))
    # Falling; what is not known counts as the largest.
    order = ["student (shipped)", "local", "planner", "queue-price", "greedy"]
    assert sorted(browser.execute_script(names, first)[:2]) == sorted(order[:2])
    assert browser.execute_script(names, first)[2:] == order[2:]
    assert browser.execute_script(names, second) == ["greedy", "student (shipped)"]
    assert browser.get_log("browser") == []


def test_a_curve_stands_beside_the_comparison_of_its_own_scenario_only(tmp_path):
    # GIVEN agents of the preset and of one with its name and another uplink, and a comparison of each
    scenarios = [make_scenario(), make_scenario(uplink_bps=(1e6, 2e6))]
    rows = []
    for number, scenario in enumerate(scenarios, start=1):
        small_agent(tmp_path / f"{number}.safetensors", scenario_fields=described(scenario))
        digest = digest_of(described(scenario))
        rows += [
            row("greedy", number / 10, 2.6, scenario_digest=digest),
            row("exact", 0.0, 9.0, scenario_digest=digest),
        ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    # THEN they are two tables and two figures, each beside its own
    comparisons = read_comparisons(tmp_path / "rows.json")
    assert [len(comparison["rows"]) for comparison in comparisons] == [2, 2]
    curves = read_curves(tmp_path, comparisons)
    assert [curve["beside"][0] for curve in curves] == [{"policy": "greedy", "gap": gap} for gap in (0.1, 0.2)]
