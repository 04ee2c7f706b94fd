// The sliders, and the schedules of the grid point at which they stand.

const TASK_NUMBERS = 7; // location, core, and five times
const ms = (tenths) => (tenths / 10).toLocaleString("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** A schedule as encoded by the report: [latency in µs, gap in millionths, seven numbers a task]. */
function decoded(policy, [latencyUs, gapMillionths, ...numbers]) {
  const tasks = [];
  for (let i = 0; i < numbers.length; i += TASK_NUMBERS) {
    const [location, core, sendStart, sendEnd, start, end, back] = numbers.slice(i, i + TASK_NUMBERS);
    tasks.push({ task: i / TASK_NUMBERS, location, core, sendStart, sendEnd, start, end, back });
  }
  return { policy, latency: latencyUs / 1e3, gap: gapMillionths / 1e6, tasks };
}

function startExplorer(grid) {
  const axes = [
    ["uplink", "Uplink rate", grid.uplink_mbps, "Mbit/s"],
    ["backlog", "Edge backlog", grid.backlog_ms, "ms"],
    ["tasks", "Tasks", grid.num_tasks, "tasks"],
  ];
  const sliders = axes.map(([id, name, values, unit], axis) => {
    const limits = { min: 0, max: values.length - 1, step: 1, value: grid.opens_at[axis] };
    const input = html("input", { type: "range", id, ...limits });
    const output = html("output", { for: id });
    const label = html("label", { for: id }, name, output);
    document.getElementById("said").before(html("div", {}, label, input));
    const say = () => {
      output.textContent = `${values[input.value]} ${unit}`;
      input.setAttribute("aria-valuetext", output.textContent);
    };
    return { input, say };
  });
  const schedules = document.getElementById("schedules");
  const panels = grid.policies.map((policy) => {
    const value = html("p", { class: "value" });
    const figure = html("figure");
    const table = html("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Times of ${policy}` });
    schedules.append(html("article", { id: `schedule-${policy}` }, html("h3", {}, policy), value, figure,
      html("details", {}, html("summary", {}, "Times of each task"), table)));
    return { value, figure, table };
  });
  const places = grid.locations.map(({ name }, k) => placeLegend(name, `fill:var(--place-${k})`, "bar"));
  document.getElementById("places").append(...places, placeLegend("backlog", "fill:url(#hatch)", "backlog"),
    returnLegend(), endLegend());

  const update = () => {
    for (const slider of sliders) slider.say();
    const [u, b, t] = sliders.map(({ input }) => Number(input.value));
    const shown = grid.policies.map((policy, p) => decoded(policy, grid.points[u][b][t][p]));
    const backlogs = [grid.device_backlog_ms * 10, grid.backlog_ms[b] * 10, 0];
    const limit = 1.04 * Math.max(...shown.map(({ latency }) => latency * 10));
    shown.forEach((schedule, p) => {
      const { value, figure, table } = panels[p];
      const gap = schedule.policy === grid.policies[0] ? "the optimum" : `gap ${percent(schedule.gap, 2)}`;
      value.textContent = `${ms(schedule.latency * 10)} ms, ${gap}`;
      figure.replaceChildren(ganttOf(schedule, grid.locations, backlogs, limit, figure.clientWidth));
      table.replaceChildren(timesOf(schedule, grid.locations));
    });
    document.getElementById("said").textContent = shown
      .map(({ policy, latency }) => `${policy} ${ms(latency * 10)} ms`).join(", ");
  };
  document.getElementById("sliders").addEventListener("input", update);
  let width = 0;
  new ResizeObserver(() => {
    if (schedules.clientWidth !== width) {
      width = schedules.clientWidth;
      update();
    }
  }).observe(schedules);
}

const placeName = ({ location, core }, locations) =>
  locations[location].cores > 1 ? `${locations[location].name} core ${core}` : locations[location].name;

/** A Gantt chart; times in 0.1 ms. Its rows are the device's cores, the radio and every core of the servers. */
function ganttOf({ policy, latency, tasks }, locations, backlogs, limit, width) {
  const rows = locations.flatMap(({ cores }, location) =>
    Array.from({ length: cores }, (_, core) => ({ location, core, label: placeName({ location, core }, locations) })));
  rows.splice(locations[0].cores, 0, { location: null, label: "radio" });
  const [left, high, pad] = [88, 19, 3];
  const [bottom, right] = [rows.length * high, Math.max(width, 240) - 8];
  const x = scaleOf({ domain: [0, limit] }, left, right);
  const drawing = svg("svg", { viewBox: `0 0 ${right + 8} ${bottom + 40}`, height: bottom + 40, role: "group",
    "aria-label": `Schedule of ${policy}, ${ms(latency * 10)} ms` });
  rows.forEach(({ location, label }, row) => {
    if (location === null || location === locations.length - 1)
      drawing.append(svg("rect", { class: "band", x: left, y: row * high, width: right - left, height: high }));
    drawing.append(svg("text", { class: "row", x: left - 6, y: row * high + 14, "text-anchor": "end" }, label));
  });
  const seconds = limit > 20000; // of tenths of a millisecond: 2 s
  for (const tick of ticksOf({ domain: [0, limit] }, (right - left) / 45)) {
    drawing.append(svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: 0, y2: bottom }));
    const text = (tick / (seconds ? 10000 : 10)).toLocaleString("en");
    drawing.append(svg("text", { class: "tick", x: x(tick), y: bottom + 15, "text-anchor": "middle" }, text));
  }
  const unit = `time since the decision (${seconds ? "s" : "ms"})`;
  drawing.append(svg("text", { x: (left + right) / 2, y: bottom + 33, "text-anchor": "middle" }, unit));
  const bars = [];
  const bar = (row, from, to, task, label) => {
    const [start, end] = [x(from), x(to)];
    const box = { x: start, y: row * high + pad, width: Math.max(end - start, 0.8), height: high - 2 * pad };
    const group = svg("g", { class: "point", role: "img", "aria-label": label.replaceAll("\n", ", ") },
      svg("rect", { class: "bar mark", style: `fill:var(--place-${task.location})`, ...box }));
    if (end - start > 7 * String(task.task).length + 2)
      group.append(svg("text", { class: "number", style: `fill:var(--on-place-${task.location})`,
        x: (start + end) / 2, y: row * high + 13.5 }, String(task.task)));
    drawing.append(group);
    bars.push({ element: group, label, order: task.task + (row === locations[0].cores ? 0 : 0.5) });
  };
  rows.forEach(({ location, core }, row) => {
    if (location !== null && backlogs[location] > 0)
      drawing.append(svg("rect", { class: "backlog", style: "fill:url(#hatch)", x: left, y: row * high + pad,
        width: x(Math.min(backlogs[location], limit)) - left, height: high - 2 * pad }));
    for (const task of tasks) {
      const place = placeName(task, locations);
      if (location === null && task.sendStart >= 0)
        bar(row, task.sendStart, task.sendEnd, task,
          `task ${task.task}\nsent to the ${place}\n${ms(task.sendStart)} to ${ms(task.sendEnd)} ms`);
      if (location === task.location && core === task.core) {
        const back = task.back > task.end ? `\nresult back at ${ms(task.back)} ms` : "";
        bar(row, task.start, task.end, task,
          `task ${task.task}\n${place}\n${ms(task.start)} to ${ms(task.end)} ms${back}`);
        if (back) {
          const at = (row + 1) * high - 1.5;
          const colour = `stroke:var(--place-${location})`;
          drawing.append(svg("path", { class: "return", style: colour, d: `M${x(task.end)} ${at}H${x(task.back)}` }),
            svg("circle", { cx: x(task.back), cy: at, r: 2, style: `fill:var(--place-${location})` }));
        }
      }
    }
  });
  const end = x(latency * 10);
  drawing.append(svg("line", { class: "end", x1: end, x2: end, y1: 0, y2: bottom }));
  makeReachable(drawing, bars.sort((a, b) => a.order - b.order));
  return drawing;
}

function timesOf({ tasks }, locations) {
  const heads = ["task", "runs on", "sent from", "sent by", "starts", "ends", "back"];
  const head = html("tr", {}, ...heads.map((text) => html("th", { scope: "col", class: "plain" }, text)));
  const lines = tasks.map((task) => {
    const sent = [task.sendStart, task.sendEnd].map((time) => (time < 0 ? "" : ms(time)));
    const cells = [placeName(task, locations), ...sent, ...[task.start, task.end, task.back].map(ms)];
    const first = html("th", { scope: "row" }, String(task.task));
    return html("tr", {}, first, ...cells.map((text) => html("td", {}, text)));
  });
  const caption = html("caption", {}, "times in ms since the decision");
  return html("table", {}, caption, html("thead", {}, head), html("tbody", {}, ...lines));
}

const sample = (...drawn) => svg("svg", { viewBox: "0 0 30 18", height: 18, "aria-hidden": "true" }, ...drawn);
const placeLegend = (name, style, kind) =>
  html("li", {}, sample(svg("rect", { class: kind, style, x: 4, y: 3, width: 22, height: 12 })), name);
const returnLegend = () =>
  html("li", {}, sample(svg("path", { class: "return", d: "M2 9H26", style: "stroke:var(--place-2)" }),
    svg("circle", { cx: 26, cy: 9, r: 2.5, style: "fill:var(--place-2)" })), "result on its way back");
const endLegend = () => html("li", {}, sample(svg("line", { class: "end", x1: 15, x2: 15, y1: 1, y2: 17 })), "latency");
