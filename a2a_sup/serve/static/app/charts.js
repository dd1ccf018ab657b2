// The supervisor's own numbers, from `metrics:update`, as small charts.
import uPlot from "../vendor/uplot.js";
import { timeOfDay } from "./format.js";
import { html, useEffect, useRef } from "./html.js";
import { useStore } from "./store.js";

const CHARTS = [
  { name: "Memory", unit: "MB", of: (s) => s.performance?.memoryUsageMB },
  { name: "Event loop lag", unit: "ms", of: (s) => s.performance?.eventLoopLagMs },
  { name: "Load, 1 minute", unit: "", of: (s) => s.performance?.cpuLoadAverage?.[0] },
  { name: "Servers running", unit: "", of: (s) => s.mcpServers?.running },
  { name: "Servers unhealthy or failed", unit: "", of: (s) => s.mcpServers && s.mcpServers.unhealthy + s.mcpServers.failed },
  { name: "Clients of the dashboard", unit: "", of: (s) => s.connections?.websocketClients },
];

const round = (value) => (Math.abs(value) < 10 ? Number(value.toFixed(2)) : Math.round(value)).toLocaleString("en");

export function Charts() {
  const { samples } = useStore("metrics");
  const known = CHARTS.filter(({ of }) => samples.some((sample) => typeof of(sample) === "number"));
  if (!known.length) return html`<p class="empty muted" role="tabpanel" aria-label="Metrics">The server has sent no numbers yet.</p>`;
  return html`<div class="scroll charts" role="tabpanel" aria-label="Metrics" tabindex="0">
    ${known.map((chart) => html`<${Chart} key=${chart.name} chart=${chart} samples=${samples} />`)}
  </div>`;
}

export function Chart({ chart, samples }) {
  const ref = useRef(null);
  const plot = useRef(null);
  const values = samples.map((sample) => chart.of(sample) ?? null);
  const last = values.at(-1);

  useEffect(() => {
    const element = ref.current;
    const draw = () => {
      plot.current?.destroy();
      plot.current = new uPlot(options(element), data(), element);
    };
    const data = () => [samples.map((sample) => sample.at), values];
    draw();
    const watch = new ResizeObserver(() => plot.current.setSize(sizeOf(element)));
    watch.observe(element);
    const themes = new MutationObserver(draw);
    themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", draw);
    return () => {
      watch.disconnect();
      themes.disconnect();
      system.removeEventListener("change", draw);
      plot.current.destroy();
      plot.current = null;
    };
  }, []);

  useEffect(() => {
    plot.current?.setData([samples.map((sample) => sample.at), values]);
  }, [samples.length, samples.at(-1)]);

  return html`<figure class="chart">
    <figcaption>${chart.name}<b class="num">${typeof last === "number" ? `${round(last)} ${chart.unit}` : ""}</b></figcaption>
    <div ref=${ref} class="plot" role="img" aria-label=${`${chart.name}, as a line over time`}></div>
  </figure>`;
}

const sizeOf = (element) => ({ width: Math.max(80, element.clientWidth), height: 96 });

function options(element) {
  const style = getComputedStyle(element);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--muted"),
    font: "10px system-ui, sans-serif",
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    ...sizeOf(element),
    legend: { show: false },
    cursor: { points: { size: 6 }, drag: { setScale: false } },
    padding: [6, 4, 0, 0],
    scales: { y: { range: (_, low, high) => [Math.min(0, low), Math.max(1, high * 1.15)] } },
    axes: [
      { ...axis, size: 22, space: 80, values: (_, ticks) => ticks.map((tick) => timeOfDay(tick).slice(0, 5)) },
      { ...axis, size: 38, space: 26, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) },
    ],
    series: [{}, { stroke: color("--accent"), width: 1.6, fill: color("--accent-soft"), points: { show: false }, spanGaps: false }],
  };
}
