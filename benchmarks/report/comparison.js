// What is drawn of the rows of one comparison: the front, the distribution and the table.

const GAP_FLOOR = 0.02; // per cent: where a gap of 0 stands on a logarithmic axis
const percent = (value, digits) => (value === null ? "infinite" : `${(100 * value).toFixed(digits)} %`);
const onAxis = (gap, floor) => Math.max(100 * gap, floor);

function drawFront(figure, { rows, front }, families) {
  const drawn = rows.filter((row) => row.gap_mean !== null);
  const at = (row) => ({ x: row.decide_us_p50, y: onAxis(row.gap_mean, GAP_FLOOR) });
  const label = (row) =>
    `${row.policy}\nmean gap ${percent(row.gap_mean, 2)}\n` +
    `decision ${row.decide_us_p50.toFixed(1)} µs (median), ${row.decide_us_p99.toFixed(1)} µs (99th percentile)` +
    (row.num_parameters ? `\n${row.num_parameters.toLocaleString("en")} parameters` : "");
  const series = families
    .map(({ name, marker }, family) => ({
      name, marker, colour: `var(--family-${family})`,
      points: drawn.filter((row) => row.family === family).map((row) => ({ ...at(row), label: label(row) })),
    }))
    .filter(({ points }) => points.length);
  const best = front.map((name) => drawn.find((row) => row.policy === name)).filter(Boolean);
  const points = drawn.map(at);
  drawWithLegend(figure, {
    summary: "Mean gap against decision delay of each policy",
    x: { label: "decision delay, median of one call (µs)", log: true, domain: logDomain(points.map((p) => p.x)) },
    y: { label: `mean gap (%; ${GAP_FLOOR} stands for 0)`, log: true, domain: logDomain(points.map((p) => p.y)) },
    behind: best.map((row) => [at(row).x, at(row).y]),
    captions: best.map((row) => ({ ...at(row), text: row.policy })),
    series,
  });
}

const SHOWN_FIRST = ["greedy", "beam-4", "roll-out", "student", "teacher", "exact"];

/** Checkboxes for the policies whose rows hold a profile, and a chart of those that are checked. */
function drawDistribution(section, { rows }, taus) {
  const listed = rows.filter((row) => row.profile)
    .toSorted((a, b) => Math.sign((b.gap_mean ?? Infinity) - (a.gap_mean ?? Infinity)) || 0); // null: infinite
  const [figure, missing, details] = ["figure", ".missing", "details"].map((name) => section.querySelector(name));
  const fieldset = section.querySelector("fieldset");
  missing.hidden = listed.length > 0;
  details.hidden = figure.hidden = !listed.length;
  if (!listed.length) return;
  const boxes = listed.map(({ policy }, index) => {
    const box = html("input", { type: "checkbox", value: index });
    box.checked = SHOWN_FIRST.includes(policy.replace(" (shipped)", ""));
    return box;
  });
  if (!boxes.some((box) => box.checked)) boxes[0].checked = true;
  fieldset.replaceChildren(fieldset.querySelector("legend"),
    ...boxes.map((box, index) => html("label", {}, box, listed[index].policy)));
  const draw = () =>
    drawProfiles(figure, listed.filter((_, index) => boxes[index].checked), taus, "gap", "instances");
  fieldset.onchange = draw;
  draw();
}

/** Performance profiles: the share of instances or streams on which a policy is at most tau above the best. */
function drawProfiles(figure, rows, taus, what, of) {
  const [floor, largest] = [taus[1], taus.at(-1)]; // the first is 0, which a logarithmic axis does not have
  const series = rows.map(({ policy, profile }, index) => ({
    name: policy, line: true, small: true, ...lineStyle(index),
    points: taus.slice(1).map((tau, i) => ({
      x: 100 * tau, y: 100 * profile[i + 1],
      label: `${policy}\n${percent(profile[i + 1], 1)} of the ${of}: ${what} at most ${percent(tau, 2)}`,
    })),
  }));
  drawWithLegend(figure, {
    summary: `Share of ${of} against the ${what} that they have at most`,
    x: { label: `${what} (%; ${100 * floor} stands for less, too)`, log: true, domain: [100 * floor, 100 * largest] },
    y: { label: `share of ${of} (%)`, domain: [0, 100] },
    series,
  });
}

// Heading, field, factor, digits.
const COLUMNS = [
  ["mean gap %", "gap_mean", 100, 2], ["seeds", "num_seeds", 1, 0], ["least seed %", "gap_least_seed", 100, 2],
  ["most seed %", "gap_most_seed", 100, 2], ["IQM %", "gap_iqm", 100, 2], ["against REFERENCE, points", "difference", 100, 2],
  ["p95 %", "gap_p95", 100, 1], ["max %", "gap_max", 100, 0],
  ["optimal %", "optimal_share", 100, 1], ["label %", "label_accuracy", 100, 1], ["exact %", "exact_match", 100, 1],
  ["p50 µs", "decide_us_p50", 1, 1], ["p99 µs", "decide_us_p99", 1, 1],
  ["with delay %", "gap_with_delay", 100, 2], ["20x slower %", "gap_with_delay_on_slow_device", 100, 2],
  ["parameters", "num_parameters", 1, 0],
];

const STREAM_COLUMNS = [
  ["change %", "change", 100, 1], ["seeds", "num_seeds", 1, 0], ["least seed %", "change_least_seed", 100, 1],
  ["most seed %", "change_most_seed", 100, 1], ["IQM %", "change_iqm", 100, 1], ["streams", "num_streams", 1, 0], ["mean s", "response_mean_s", 1, 3],
  ["p95 s", "response_p95_s", 1, 3], ["p99 s", "response_p99_s", 1, 3], ["late %", "late_share", 100, 1],
  ["energy J", "energy_mean_j", 1, 3], ["of hindsight %", "hindsight_share", 100, 0],
  ["Jain", "jain_mean", 1, 2], ["worst", "worst_over_mean", 1, 2],
  ["p50 µs", "decide_us_p50", 1, 1], ["parameters", "num_parameters", 1, 0],
];
const MUCH_WORSE = 0.2; // than greedy: such policies would leave no room for the others

/** A chart of change against delay and a table for each comparison of streams. */
function drawStreams(section, comparisons, families, taus) {
  section.querySelector(".missing").hidden = comparisons.length > 0;
  for (const { title, rows } of comparisons) {
    const figure = html("figure");
    const region = html("div", { class: "scroll", role: "region", "aria-label": title, tabindex: 0 });
    section.append(html("h3", {}, title), figure, region);
    drawTable(region, { title, rows }, STREAM_COLUMNS);
    const shown = rows.filter(({ change }) => change < MUCH_WORSE);
    if (!shown.length) { // where greedy has no late job, nothing has a change
      figure.remove();
      continue;
    }
    const at = (row) => ({ x: row.decide_us_p50, y: 100 * row.change });
    const label = (row) => `${row.policy}\nchange ${percent(row.change, 1)}\ndecision ${row.decide_us_p50.toFixed(1)} µs`;
    const series = families
      .map(({ name, marker }, family) => ({
        name, marker, colour: `var(--family-${family})`,
        points: shown.filter((row) => row.family === family).map((row) => ({ ...at(row), label: label(row) })),
      }))
      .filter(({ points }) => points.length);
    const points = shown.map(at);
    const least = Math.min(0, ...points.map(({ y }) => y));
    drawWithLegend(figure, {
      summary: `Change over greedy against decision delay, ${title}`,
      x: { label: "decision delay, median of one call (µs)", log: true, domain: logDomain(points.map(({ x }) => x)) },
      y: { label: "change over greedy (%)", domain: [least - 2, Math.max(...points.map(({ y }) => y)) + 2] },
      captions: shown.map((row) => ({ ...at(row), text: row.policy })),
      series,
    });
    const profiled = shown.filter((row) => row.profile);
    if (!profiled.length) continue;
    const profiles = html("figure");
    figure.after(profiles);
    drawProfiles(profiles, profiled, taus, "excess over the best policy's", "streams");
  }
}

/** A table that is sorted by the first of its columns (heading, field, factor, digits) at first. */
function drawTable(region, { title, rows }, all = COLUMNS) {
  const columns = all.filter(([, field]) => rows.some((row) => field in row))
    .map(([text, ...rest]) => [text.replace("REFERENCE", rows[0].against), ...rest]);
  const number = (value, factor, digits) =>
    value === undefined ? "" : value === null ? "∞"
      : (factor * value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const cell = (row, [, field, factor, digits]) => {
    const td = html("td", {}, field === "num_parameters" && !row[field] ? "" : number(row[field], factor, digits));
    if (`${field}_low` in row) {
      const ends = [`${field}_low`, `${field}_high`].map((end) => number(row[end], factor, digits));
      td.append(html("span", { class: "interval" }, ` [${ends.join(", ")}]`));
    }
    return td;
  };
  const lines = rows.map((row) => ({
    row,
    element: html("tr", {}, html("th", { scope: "row" }, row.policy), ...columns.map((column) => cell(row, column))),
  }));
  const body = html("tbody");
  const headings = [["policy", "policy"], ...columns].map(([text, field]) => {
    const heading = html("th", { scope: "col" }, html("button", { type: "button" }, text));
    heading.firstChild.onclick = () => sortBy(field, heading);
    return heading;
  });
  const sortBy = (field, heading) => {
    const falls = heading.getAttribute("aria-sort") === "ascending";
    for (const other of headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", falls ? "descending" : "ascending");
    const value = ({ row }) => row[field] ?? Infinity;
    const order = (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    lines.sort((a, b) => (falls ? order(b, a) : order(a, b)));
    body.replaceChildren(...lines.map((line) => line.element));
  };
  const caption = html("caption", { class: "hidden" }, title);
  region.replaceChildren(html("table", {}, caption, html("thead", {}, html("tr", {}, ...headings)), body));
  sortBy(columns[0][1], headings[1]);
}
