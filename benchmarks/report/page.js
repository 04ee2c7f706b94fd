// From the data in the page to its sections.

const data = JSON.parse(document.getElementById("data").textContent);
const section = (id) => document.getElementById(id);

for (const id of ["seed", "version", "note"]) section(id).textContent = data[id];

const chooser = section("comparison");
chooser.append(...data.comparisons.map(({ title, file, num_instances: number }, index) => {
  const instances = number ? `, ${number.toLocaleString("en")} instances` : "";
  return html("option", { value: index }, `${title}${instances} (${file})`);
}));
const show = () => {
  const comparison = data.comparisons[chooser.value];
  drawFront(section("front").querySelector("figure"), comparison, data.families);
  drawDistribution(section("distribution"), comparison, data.taus);
  drawTable(section("table").querySelector(".scroll"), comparison);
};
chooser.addEventListener("change", show);
show();

section("curves").querySelector(".missing").hidden = data.curves.length > 0;
for (const { title, agents, beside } of data.curves) {
  const figure = html("figure");
  section("curves").append(html("h3", {}, title), figure);
  const series = agents.map(({ policy, points }, index) => ({
    name: policy, line: true, small: true, ...lineStyle(index),
    points: points.map(([seconds, gap]) => ({
      x: seconds, y: onAxis(gap, GAP_FLOOR),
      label: `${policy}\nafter ${seconds.toFixed(0)} s of training\nmean gap ${percent(gap, 2)}`,
    })),
  }));
  const levels = beside.map(({ policy, gap }) => ({ y: onAxis(gap, GAP_FLOOR), label: policy }));
  const every = series.flatMap(({ points }) => points);
  drawWithLegend(figure, {
    summary: `Mean gap against training time, ${title}`,
    x: { label: "training time (s)", domain: [0, 1.02 * Math.max(1, ...every.map(({ x }) => x))] },
    y: { label: "mean gap (%)", log: true, domain: logDomain([...every, ...levels].map(({ y }) => y)) },
    beside: levels,
    series,
  });
}

drawStreams(section("streams"), data.streams, data.families, data.taus);

const { image, policy, now, devices, sites } = data.moving;
section("moment").textContent = `${now} after its beginning, with the policy ${policy}`;
section("picture").alt = `Chart of radios and cores, and map of ${devices} devices and ${sites} sites`;
section("picture").src = image;

const { locations, device_backlog_ms: busy, downlink_ratio: ratio } = data.explorer;
section("machines").textContent = locations
  .map(({ name, cores, ghz }) => `${name} ${cores} ${cores > 1 ? "cores" : "core"} of ${ghz} GHz`)
  .join(", ") + `, a device that is busy for ${busy} ms, a downlink of ${ratio} times the uplink`;
startExplorer(data.explorer);
