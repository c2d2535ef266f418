"use strict";

const charts = JSON.parse(document.getElementById("charts")?.textContent ?? "[]");
const place = (chart) => document.getElementById("chart-" + chart.id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads some tags

function trace(line, chart) {
  const colour = css(line.role);
  const shared = { name: plain(line.name), visible: !line.hidden };
  if (line.style === "bars") {
    const bins = line.y.map((_, i) => [line.x[i], line.x[i + 1]]);
    const [x, y] = [chart.x.form, chart.y.form];
    return {
      ...shared, type: "bar", x: bins.map(([low, high]) => (low + high) / 2), y: line.y, width: bins.map(([low, high]) => high - low),
      customdata: bins, hovertemplate: `%{customdata[0]:${x}} to %{customdata[1]:${x}}: %{y:${y}}<extra>${shared.name}</extra>`,
      marker: { color: colour, opacity: 0.5, line: { width: 0 } },
    };
  }
  const faint = line.style === "faint";
  const dots = line.style === "dots";
  const marked = line.style === "points";
  return {
    ...shared, type: "scatter", x: line.x, y: line.y,
    mode: dots ? "markers" : marked ? (line.labels.length ? "lines+markers+text" : "lines+markers") : "lines",
    line: { color: colour, width: faint ? 1 : 2 },
    marker: { color: colour, symbol: line.marker, size: dots ? 4 : line.marker === "circle" ? 5.5 : 8 },
    text: line.labels, textposition: "top center", textfont: { size: 11, color: css("muted") }, cliponaxis: !line.labels.length,
    opacity: faint ? 0.35 : dots ? 0.25 : 1,
    hoverinfo: faint || !line.name ? "skip" : "all",
  };
}

function heatMap(chart) {
  const names = (spec) => spec.ticks.map(([, name]) => plain(name));
  const centres = (spec) => spec.ticks.map(([value]) => value);
  const text = chart.cells.map((row) => row.map((value) => (value === null ? "" : `${(100 * value).toFixed(chart.digits)} %`)));
  const customdata = names(chart.y).map((y) => names(chart.x).map((x) => `${x}, ${y}`));
  return {
    type: "heatmap", x: centres(chart.x), y: centres(chart.y), z: chart.cells, zmin: chart.range[0], zmax: chart.range[1], showscale: false, xgap: 2, ygap: 2,
    colorscale: [[0, css("rule")], [1, css("series1")]], text, texttemplate: "%{text}", customdata,
    hovertemplate: "%{customdata}: %{text}<extra></extra>", hoverongaps: false,
  };
}

function level([value, dash]) {
  const line = { color: css("baseline"), width: 1.5, dash };
  return { type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line };
}

function stageLine([, start]) {
  return { type: "line", yref: "paper", y0: 0, y1: 1.06, x0: start, x1: start,
    line: { color: css("muted"), width: 1, dash: "dot" } };
}

function stageName([stage, start, end]) {
  return { text: plain(stage), x: (start + end) / 2, y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
    font: { size: 11, color: css("muted") } };
}

function axis(spec) {
  const ticks = spec.ticks.length
    ? { tickmode: "array", tickvals: spec.ticks.map(([value]) => value), ticktext: spec.ticks.map(([, name]) => plain(name)) }
    : { tickformat: spec.tick, exponentformat: "e", nticks: 6 };
  return {
    ...ticks, title: { text: plain(spec.title), font: { size: 11 }, standoff: 6 }, hoverformat: spec.form,
    type: spec.log ? "log" : "linear", rangemode: spec.zero ? "tozero" : "normal",
    range: spec.span?.map((value) => (spec.log ? Math.log10(value) : value)),
    gridcolor: css("rule"), zerolinecolor: css("rule"), linecolor: css("rule"), fixedrange: false,
  };
}

function layout(chart) {
  const x = { ...axis(chart.x), showgrid: false, zeroline: false };
  if (chart.borders.length) x.range = [0, chart.borders.at(-1)[2]];
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, barmode: "overlay",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("muted") },
    margin: { l: chart.y.title ? 62 : 50, r: 16, t: chart.borders.length ? 22 : 10, b: chart.x.title ? 40 : 24 },
    hovermode: chart.hover === "x" ? "x unified" : "closest",
    hoverlabel: { bgcolor: css("raised"), bordercolor: css("rule"), font: { color: css("ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    uirevision: chart.id, // drawn anew, it stays zoomed
    xaxis: x,
    yaxis: { ...axis(chart.y), ...(chart.cells ? { showgrid: false, zeroline: false } : {}) },
    shapes: [...chart.levels.map(level), ...chart.borders.slice(1).map(stageLine)],
    annotations: chart.borders.length > 1 ? chart.borders.map(stageName) : [],
  };
}

function draw(chart) {
  const lines = chart.cells ? [heatMap(chart)] : chart.lines.map((line) => trace(line, chart));
  return Plotly.react(place(chart), lines, layout(chart), { displayModeBar: false, responsive: true });
}

// A name in a legend takes its lines away and brings them back, on every chart below that legend.
function toggle(key) {
  const hide = key.getAttribute("aria-pressed") === "true";
  key.setAttribute("aria-pressed", String(!hide));
  const within = key.closest("figure") ?? key.closest("section");
  for (const chart of charts.filter((chart) => within.contains(place(chart)))) {
    chart.lines.filter((line) => line.name === key.dataset.name).forEach((line) => { line.hidden = hide; });
    draw(chart);
  }
}

// Charts of one run show the same steps: zooming one zooms the others.
let following = false;
function follow(chart, change) {
  const range = change["xaxis.range[0]"] === undefined ? change["xaxis.range"] : [change["xaxis.range[0]"], change["xaxis.range[1]"]];
  if (following || !(range || change["xaxis.autorange"])) return;
  following = true;
  const update = range ? { "xaxis.range": range } : { "xaxis.autorange": true };
  const others = charts.filter((other) => other.zoom === chart.zoom && other !== chart);
  Promise.all(others.map((other) => Plotly.relayout(place(other), update))).finally(() => { following = false; });
}

async function loadPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

async function start() {
  await loadPlotly();
  for (const chart of charts) {
    await draw(chart);
    place(chart).on("plotly_relayout", (change) => follow(chart, change));
  }
  document.querySelectorAll(".key").forEach((key) => key.addEventListener("click", () => toggle(key)));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(draw));
}

if (charts.length) {
  start().catch((error) => {
    for (const chart of charts) {
      if (!place(chart).hasChildNodes()) place(chart).textContent = `This browser could not draw the curves (${error}); figures/ holds them as pictures.`;
    }
  });
}

// The section being read is marked in the navigation.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    links.forEach((link, id) => link.classList.toggle("here", id === entry.target.id));
  }
}, { rootMargin: "-20% 0px -75% 0px" });
document.querySelectorAll("section[id], p.absent[id]").forEach((section) => seen.observe(section));
