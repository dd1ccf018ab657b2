// What the processes of one child use, while it is looked at.
import { readUsage } from "./api.js";
import { Chart } from "./charts.js";
import { count } from "./format.js";
import { html, useEffect, useState } from "./html.js";

const PERIOD = 3000;
const KEPT = 400;
const MEMORY = { name: "Memory", unit: "MB", of: (sample) => sample.memory };
const CPU = { name: "CPU", unit: "%", of: (sample) => sample.cpu };

/** Adds what was read to what is known: CPU time becomes a share of the time in between. */
function added(samples, at, { memory_bytes: memory, cpu_seconds: seconds, processes }) {
  const last = samples.at(-1);
  // Less than before: there are other processes now.
  const isSame = last !== undefined && seconds >= last.seconds && at > last.at;
  const cpu = isSame ? (100 * (seconds - last.seconds)) / (at - last.at) : null;
  return [...samples.slice(1 - KEPT), { at, memory: memory / 1e6, cpu, seconds, processes }];
}

export function Usage({ path }) {
  const [samples, setSamples] = useState([]);
  useEffect(() => {
    let timer = null;
    let isOver = false;
    const ask = async () => {
      try {
        const { wall_time: at, children } = await readUsage();
        const used = Object.hasOwn(children, path) ? children[path] : null;
        if (!isOver && used) setSamples((now) => added(now, at, used));
      } catch {
        // The server is away, and the page says so elsewhere.
      }
      if (!isOver) timer = setTimeout(ask, PERIOD);
    };
    ask();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [path]);
  const last = samples.at(-1);
  if (last === undefined) return null;
  return html`<section class="card usage">
    <h3>Uses<span class="muted"> ${count(last.processes, "process", "processes")}</span></h3>
    <div class="pair"><${Chart} chart=${MEMORY} samples=${samples} /><${Chart} chart=${CPU} samples=${samples} /></div>
  </section>`;
}
