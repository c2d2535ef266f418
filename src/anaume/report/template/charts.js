"use strict";

const charts = JSON.parse(document.getElementById("charts")?.textContent ?? "[]");
const place = (chart) => document.getElementById("chart-" + chart.id);
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // plotly reads some tags

function trace(line) {
  const colour = css(line.role);
  const points = line.style === "points";
  return {
    x: line.x, y: line.y, name: plain(line.name), type: "scatter",
    mode: points ? "lines+markers" : "lines",
    line: { color: colour, width: line.style === "faint" ? 1 : 2 },
    marker: { color: colour, size: 5 },
    opacity: line.style === "faint" ? 0.35 : 1,
    hoverinfo: line.style === "faint" ? "skip" : "all",
  };
}

function level([, value], number) {
  const line = { color: css("baseline"), width: 1.5, dash: number ? "dot" : "dash" };
  return { type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line };
}

function levelName([name, value]) {
  return { text: plain(name), xref: "paper", x: 1, xanchor: "right", y: value, yanchor: "bottom", showarrow: false,
    font: { size: 11, color: css("muted") } };
}

function stageLine([, start]) {
  return { type: "line", yref: "paper", y0: 0, y1: 1.06, x0: start, x1: start,
    line: { color: css("muted"), width: 1, dash: "dot" } };
}

function stageName([stage, start, end]) {
  return { text: plain(stage), x: (start + end) / 2, y: 1, yref: "paper", yanchor: "bottom", showarrow: false,
    font: { size: 11, color: css("muted") } };
}

function layout(chart) {
  const axis = { gridcolor: css("rule"), zerolinecolor: css("rule"), linecolor: css("rule"), fixedrange: false };
  const steps = { title: { text: "step", font: { size: 11 }, standoff: 6 }, tickformat: "~s", hoverformat: ",d",
    range: chart.borders.length ? [0, chart.borders.at(-1)[2]] : undefined };
  const named = { tickmode: "array", tickvals: chart.ticks.map((_, i) => i), ticktext: chart.ticks.map(plain) };
  const round = [0.01, 0.1, 1, 10, 100].flatMap((power) => [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7].map((n) => +(n * power).toPrecision(2)));
  const scale = chart.log ? { type: "log", tickmode: "array", tickvals: round, ticktext: round.map(String) }
    : { rangemode: chart.zero ? "tozero" : "normal", tickformat: chart.tick, exponentformat: "e", nticks: 6 };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false,
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("muted") },
    margin: { l: 50, r: 16, t: 22, b: 40 },
    hovermode: "x unified", hoverlabel: { bgcolor: css("raised"), bordercolor: css("rule"), font: { color: css("ink") } },
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    xaxis: { ...axis, showgrid: false, zeroline: false, ...(chart.ticks.length ? named : steps) },
    yaxis: { ...axis, ...scale, hoverformat: chart.form },
    shapes: [...chart.levels.map(level), ...chart.borders.slice(1).map(stageLine)],
    annotations: [...chart.levels.map(levelName), ...(chart.borders.length > 1 ? chart.borders.map(stageName) : [])],
  };
}

function draw(chart) {
  return Plotly.react(place(chart), chart.lines.map(trace), layout(chart), { displayModeBar: false, responsive: true });
}

// Charts of one run show the same steps: zooming one zooms the others.
let following = false;
function follow(chart, change) {
  const range = change["xaxis.range[0]"] === undefined ? change["xaxis.range"] : [change["xaxis.range[0]"], change["xaxis.range[1]"]];
  if (following || !(range || change["xaxis.autorange"])) return;
  following = true;
  const update = range ? { "xaxis.range": range } : { "xaxis.autorange": true };
  const others = charts.filter((other) => other.axis === chart.axis && other !== chart);
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
