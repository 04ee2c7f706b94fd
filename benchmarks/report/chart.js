// Elements, scales, and a chart of points and lines whose points answer to pointer and keyboard.

const html = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Where a value stands between two pixels. */
function scaleOf({ domain, log = false }, from, to) {
  const along = log ? Math.log : (value) => value;
  const [low, high] = domain.map(along);
  return (value) => from + ((along(value) - low) / (high - low)) * (to - from);
}

/** Round values of an axis with room for at most `most` of them. */
function ticksOf({ domain: [low, high], log = false }, most) {
  if (!log) {
    const smallest = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(smallest));
    const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= smallest * (1 - 1e-9));
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) =>
      Number(((first + i) * step).toPrecision(10)));
  }
  for (const factors of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1)
      for (const factor of factors) ticks.push(Number((factor * 10 ** power).toPrecision(10)));
    const inside = ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9));
    if (inside.length <= most || factors.length === 1) return inside;
  }
}

/** Limits of a logarithmic axis a little beyond the values. */
const logDomain = (values) => [Math.min(...values) / 1.25, Math.max(...values) * 1.25];

// The letters of markers, each centred on 0.
const MARKERS = {
  x: "M-4-5.5 0-1.5 4-5.5 5.5-4 1.5 0 5.5 4 4 5.5 0 1.5-4 5.5-5.5 4-1.5 0-5.5-4Z",
  s: "M-4.5-4.5h9v9h-9Z",
  "*": "M0-8 2-2.5 7.6-2.5 3.2 1 4.7 6.5 0 3.3-4.7 6.5-3.2 1-7.6-2.5-2-2.5Z",
  "^": "M0-6 5.6 4.5H-5.6Z",
  o: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z",
  D: "M0-6.2 6.2 0 0 6.2-6.2 0Z",
};
const DASHES = ["none", "7 4", "2 3", "9 3 2 3"];
const LINE_MARKERS = ["o", "s", "^", "D", "x"];
/** How the line with this number looks: no two of the first sixty look the same. */
const lineStyle = (index) => ({
  colour: `var(--line-${index % 6})`,
  dash: DASHES[Math.floor(index / 2) % 4],
  marker: LINE_MARKERS[index % 5],
});

/**
 * Draw a chart into a figure, anew when the figure's width changes.
 *
 * axes: {x, y}, each {label, domain, log, format}. series: [{name, colour, marker, dash, line, small, points}], each
 * point {x, y, label}. behind: [[x, y], ...] of a dashed line. beside: [{y, label}], levels. captions: [{x, y, text}].
 */
function drawChart(figure, chart) {
  const draw = () => {
    const width = Math.max(figure.clientWidth, 280);
    const height = Math.round(Math.min(Math.max(width * 0.5, 300), 520));
    const box = { left: 54, right: width - 12, top: 12, bottom: height - 46 };
    const x = scaleOf(chart.x, box.left, box.right);
    const y = scaleOf(chart.y, box.bottom, box.top);
    const drawing = svg("svg", {
      viewBox: `0 0 ${width} ${height}`, height, role: "group", "aria-label": chart.summary,
    });
    drawAxes(drawing, chart, x, y, box);
    for (const { y: level, label } of chart.beside ?? []) {
      const at = y(level);
      drawing.append(svg("line", { class: "beside", x1: box.left, x2: box.right, y1: at, y2: at }));
      drawing.append(svg("text", { x: box.right, y: at - 4, "text-anchor": "end" }, label));
    }
    if (chart.behind?.length) drawing.append(svg("path", { class: "front", d: pathOf(chart.behind, x, y) }));
    for (const { line, points, colour, dash } of chart.series)
      if (line) {
        const ways = points.map((point) => [point.x, point.y]);
        const style = `stroke:${colour};stroke-dasharray:${dash}`;
        drawing.append(svg("path", { class: "curve", style, d: pathOf(ways, x, y) }));
      }
    const marks = chart.series.flatMap(({ points, colour, marker, small }) =>
      points.map((point) => {
        const mark = svg("path", { class: "mark", d: MARKERS[marker], style: `fill:${colour}` });
        if (small) mark.setAttribute("transform", "scale(0.6)");
        const group = svg("g", { class: "point", role: "img", "aria-label": point.label.replaceAll("\n", ", "),
          transform: `translate(${x(point.x)} ${y(point.y)})` }, svg("circle", { class: "hit", r: 10 }), mark);
        return { element: group, label: point.label, order: x(point.x), at: [x(point.x), y(point.y)] };
      }));
    drawing.append(...marks.map((mark) => mark.element));
    addCaptions(drawing, chart.captions ?? [], x, y, box, marks);
    makeReachable(drawing, marks.toSorted((a, b) => a.order - b.order));
    figure.querySelector(":scope > svg")?.remove();
    figure.prepend(drawing);
  };
  redrawn.get(figure)?.disconnect();
  let width = 0;
  const observer = new ResizeObserver(() => {
    if (figure.clientWidth !== width) {
      width = figure.clientWidth;
      requestAnimationFrame(draw); // drawing here would change sizes that are being observed
    }
  });
  redrawn.set(figure, observer);
  observer.observe(figure);
}
const redrawn = new Map();

const pathOf = (points, x, y) => points.map(([a, b], i) => `${i ? "L" : "M"}${x(a)} ${y(b)}`).join("");

function drawAxes(drawing, { x: xAxis, y: yAxis }, x, y, box) {
  const plain = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });
  for (const tick of ticksOf(xAxis, (box.right - box.left) / 46)) {
    const at = x(tick);
    drawing.append(svg("line", { class: "grid", x1: at, x2: at, y1: box.top, y2: box.bottom }));
    const text = (xAxis.format ?? plain)(tick);
    drawing.append(svg("text", { class: "tick", x: at, y: box.bottom + 16, "text-anchor": "middle" }, text));
  }
  for (const tick of ticksOf(yAxis, (box.bottom - box.top) / 26)) {
    const at = y(tick);
    drawing.append(svg("line", { class: "grid", x1: box.left, x2: box.right, y1: at, y2: at }));
    const text = (yAxis.format ?? plain)(tick);
    drawing.append(svg("text", { class: "tick", x: box.left - 6, y: at + 4, "text-anchor": "end" }, text));
  }
  const middle = (box.left + box.right) / 2;
  drawing.append(svg("text", { x: middle, y: box.bottom + 38, "text-anchor": "middle" }, xAxis.label));
  const turned = `translate(13 ${(box.top + box.bottom) / 2}) rotate(-90)`;
  drawing.append(svg("text", { transform: turned, "text-anchor": "middle" }, yAxis.label));
}

/** Names beside their points, where they cover no point and no other name. */
function addCaptions(drawing, captions, x, y, box, marks) {
  const taken = marks.map(({ at: [px, py] }) => [px - 6, py - 6, px + 6, py + 6]);
  for (const { x: a, y: b, text } of captions) {
    const width = 6.8 * text.length;
    const [px, py] = [x(a), y(b)];
    const [right, left, above, below] = [px + 9, px - 9 - width, py - 6, py + 15];
    for (const [start, bottom] of [[right, above], [left, below], [right, below], [left, above]]) {
      const own = [start, bottom - 11, start + width, bottom + 2];
      const inside = own[0] >= box.left && own[2] <= box.right && own[1] >= box.top && own[3] <= box.bottom;
      if (inside && !taken.some((other) => overlap(own, other))) {
        taken.push(own);
        drawing.append(svg("text", { x: start, y: bottom }, text));
        break;
      }
    }
  }
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

/** One stop of the Tab key for all points; arrow keys go from point to point, and each shows its label. */
function makeReachable(drawing, points) {
  points.forEach(({ element, label }, index) => {
    element.setAttribute("tabindex", index ? -1 : 0);
    for (const event of ["pointerenter", "focus"]) element.addEventListener(event, () => showTooltip(element, label));
    for (const event of ["pointerleave", "blur"]) element.addEventListener(event, hideTooltip);
  });
  drawing.addEventListener("keydown", (event) => {
    const now = points.findIndex(({ element }) => element === document.activeElement);
    const last = points.length - 1;
    const next = { ArrowRight: now + 1, ArrowDown: now + 1, ArrowLeft: now - 1, ArrowUp: now - 1, Home: 0, End: last };
    if (event.key === "Escape") hideTooltip();
    if (now < 0 || !(event.key in next)) return;
    event.preventDefault();
    points[now].element.setAttribute("tabindex", -1);
    const target = points[Math.min(Math.max(next[event.key], 0), last)].element;
    target.setAttribute("tabindex", 0);
    target.focus();
  });
}

function showTooltip(element, label) {
  const tooltip = document.getElementById("tooltip");
  tooltip.textContent = label;
  tooltip.hidden = false;
  const at = element.getBoundingClientRect();
  const left = Math.min(Math.max(at.left + at.width / 2 - tooltip.offsetWidth / 2, 4),
    document.documentElement.clientWidth - tooltip.offsetWidth - 4);
  const above = at.top - tooltip.offsetHeight - 6;
  tooltip.style.left = `${left}px`;
  tooltip.style.top = `${above >= 4 ? above : at.bottom + 6}px`;
}

function hideTooltip() {
  document.getElementById("tooltip").hidden = true;
}

/** A list of what markers and lines mean. */
const legendOf = (series) =>
  html("ul", { class: "legend" }, ...series.map(({ name, colour, marker, dash, line }) => {
    const sample = svg("svg", { viewBox: "-15 -9 30 18", height: 18, "aria-hidden": "true" });
    const style = `stroke:${colour};stroke-dasharray:${dash}`;
    if (line) sample.append(svg("path", { class: "curve", d: "M-15 0H15", style }));
    if (marker) sample.append(svg("path", { class: "mark", d: MARKERS[marker], style: `fill:${colour}` }));
    return html("li", {}, sample, name);
  }));

/** Draw a chart and, below it, its legend. */
function drawWithLegend(figure, chart) {
  figure.replaceChildren(legendOf(chart.series));
  drawChart(figure, chart);
}
