// Everything about one child.
import { wall } from "./clock.js";
import { brief, count, duration, elapsed, shown, timeOfDay } from "./format.js";
import { html, useLayoutEffect, useRef, useState } from "./html.js";
import { Glyph, HealthMark, StateMark, healthOf } from "./icons.js";
import { BackoffBar, Countdown, Sparkline, Tabs, Tags, Uptime, isBenign, reasonText } from "./parts.js";
import { Log } from "./log.js";
import { Timeline } from "./timeline.js";
import { Usage } from "./usage.js";

const TABS = [
  ["about", "About"],
  ["log", "Log"],
  ["events", "Events"],
];
const SHOWN_APART = new Set(["pid", "server", "tools", "tool_count", "protocol", "era"]);
const DOWN = new Set(["stopped", "finished", "failed"]);

export function Details({ store, child, tab, onTab, onClose, onGo, onCommand, onToken }) {
  return html`<section class="panel" aria-label=${`Details of ${child.path}`}>
    <header class="panel-head">
      <div class="crumbs"><${Crumbs} path=${child.path} onGo=${onGo} /></div>
      <button class="quiet square close" onClick=${onClose} title="Close (Esc)" aria-label="Close"><${Glyph} name="close" /></button>
      <div class="panel-state">
        <${StateMark} state=${child.state} />
        ${healthOf(child).word && html`<${HealthMark} child=${child} />`}
        ${child.state === "backing_off" && html`<${Countdown} child=${child} />`}
      </div>
      <div class="actions">
        ${DOWN.has(child.state)
          ? html`<button onClick=${() => onCommand("start")}><${Glyph} name="play" /> Start</button>`
          : html`<button onClick=${() => onCommand("restart")}><${Glyph} name="restart" /> Restart</button>
              <button onClick=${() => onCommand("stop")}><${Glyph} name="stop" /> Stop</button>`}
      </div>
      <${Tabs} tabs=${TABS} current=${tab} onSelect=${onTab} label="About this child" />
    </header>
    ${tab === "about" && html`<${About} store=${store} child=${child} />`}
    ${tab === "log" && html`<${Log} key=${child.path} path=${child.path} onToken=${onToken} />`}
    ${tab === "events" && html`<${Timeline} key=${child.path} path=${child.path} isLeaf=${child.supervisor === null} onGo=${onGo} />`}
  </section>`;
}

function Crumbs({ path, onGo }) {
  const parts = path.split("/");
  return parts.map((part, i) => {
    const here = parts.slice(0, i + 1).join("/");
    if (i === parts.length - 1) return html`<h2 key=${here}>${part}</h2>`;
    return html`<span key=${here}><button class="link" onClick=${() => onGo(here)}>${part}</button><span class="slash">/</span></span>`;
  });
}

function About({ store, child }) {
  const { tree } = store;
  return html`<div class="scroll about" tabindex="0" role="tabpanel" aria-label="About">
    ${child.state === "backing_off" && html`<div class="callout warn">
      <div><b>Next attempt <${Countdown} child=${child} /></b>
      <span class="muted"> after ${child.next_attempt_at === null ? "its supervisor's decision" : `a wait of ${duration(child.next_attempt_at - child.since)}`}</span></div>
      <${BackoffBar} child=${child} />
    </div>`}
    ${child.state === "failed" && html`<div class="callout bad">Its supervisor will not try again. Start it when the cause is gone.</div>`}
    ${child.state === "stuck" && html`<div class="callout stuck">It was cancelled and is still there: a task cannot be killed. Its stack is among its events.</div>`}
    <dl class="facts">
      <${Fact} name="Uptime">${child.started_at === null ? html`<span class="muted">not running</span>` : html`<${Uptime} since=${child.started_at} /> <span class="muted">since ${timeOfDay(wall(child.started_at))}</span>`}<//>
      <${Fact} name="In this state">${html`<${Uptime} since=${child.since} />`}<//>
      <${Fact} name="Restarts"><span class="num">${child.restarts}</span> <${Sparkline} tree=${tree} path=${child.path} /><//>
      <${Fact} name="Incarnation"><span class="num">${child.incarnation}</span> <span class="muted">${child.restart}</span><//>
      ${child.details.pid !== undefined && html`<${Fact} name="Pid"><span class="num">${shown(child.details.pid)}</span><//>`}
      <${Fact} name="Kind">${child.kind}${child.supervisor && html`<span class="muted">, ${child.supervisor.strategy.replaceAll("_", " ")}, ${count(tree.below.get(child.path)?.length ?? 0, "child", "children")}</span>`}<//>
      ${child.tags.length > 0 && html`<${Fact} name="Tags"><${Tags} tags=${child.tags} /><//>`}
    </dl>
    ${child.last_reason && html`<${LastExit} child=${child} />`}
    ${child.probes.map((probe) => html`<${Probe} key=${probe.name} probe=${probe} />`)}
    ${child.state === "running" && child.details.pid !== undefined && html`<${Usage} key=${`${child.path} ${child.incarnation}`} path=${child.path} />`}
    ${child.kind === "mcp" && html`<${Mcp} details=${child.details} />`}
    <${Configured} info=${child.info} />
    <${Reported} details=${child.details} />
  </div>`;
}

const Fact = ({ name, children }) => html`<div><dt>${name}</dt><dd>${children}</dd></div>`;

function LastExit({ child }) {
  const reason = child.last_reason;
  const frames = reason.crash ? traceOf(reason.crash) : "";
  return html`<section class="card last-exit">
    <h3>Last exit</h3>
    <p class=${isBenign(reason) ? "" : "bad"}>${reasonText(reason)}</p>
    ${reason.last_output.length > 0 && html`<h4>Its last output</h4>
      <${LastOutput} lines=${reason.last_output} />`}
    ${frames && html`<details><summary>Traceback</summary><pre class="output" tabindex="0">${frames}</pre></details>`}
  </section>`;
}

/** Shows the end first: that is where the cause stands. */
function LastOutput({ lines }) {
  const ref = useRef(null);
  const text = lines.join("\n");
  useLayoutEffect(() => {
    ref.current.scrollTop = ref.current.scrollHeight;
  }, [text]);
  return html`<pre class="output" tabindex="0" ref=${ref}>${text}</pre>`;
}

function traceOf(crash, indent = "") {
  const lines = crash.frames.map(({ file, line, function: name }) => `${indent}${file}:${line} in ${name}`);
  lines.push(`${indent}${crash.type}${crash.message ? `: ${crash.message}` : ""}`);
  for (const cause of crash.causes) lines.push(`${indent}from`, traceOf(cause, `${indent}  `));
  return lines.join("\n");
}

const PROBE_WORDS = new Map([
  [true, ["good", "passing"]],
  [false, ["bad", "failing"]],
  [null, ["unknown", "not known yet"]],
]);

/** From 1 ms to 10 s, each factor of ten as much higher: a slow check stands out of fast ones. */
const heightOf = (seconds) => Math.min(100, Math.max(14, 14 + 21.5 * Math.log10(seconds * 1000)));

function Probe({ probe }) {
  const [chosen, setChosen] = useState(null);
  const { results } = probe;
  const passed = results.filter((result) => result.passed).length;
  const [tone, word] = PROBE_WORDS.get(probe.passing);
  const at = chosen !== null && results[chosen] ? chosen : results.length - 1;
  const told = results[at];
  return html`<section class="card probe">
    <h3>${probe.purpose}<span class="muted"> ${probe.name}, every ${elapsed(probe.interval)}</span>
      <span class=${`pill h-${tone}`}>${word}</span></h3>
    <div class="strip" role="group" aria-label=${`${passed} of the last ${results.length} checks passed`}>
      ${results.map((result, i) => html`<button key=${result.time} class=${`check ${result.passed ? "pass" : "fail"}${i === at ? " chosen" : ""}`}
        onMouseEnter=${() => setChosen(i)} onMouseLeave=${() => setChosen(null)} onFocus=${() => setChosen(i)} onBlur=${() => setChosen(null)}
        aria-label=${`${result.passed ? "passed" : "failed"} at ${timeOfDay(wall(result.time))}`}>
        <i style=${{ height: `${heightOf(result.duration)}%` }}></i></button>`)}
    </div>
    ${told && html`<p class="told"><span class="num">${timeOfDay(wall(told.time))}</span>
      <b class=${told.passed ? "good" : "bad"}>${told.passed ? "passed" : "failed"}</b>
      <span class="num">${brief(told.duration)}</span> <span class="message">${told.message}</span></p>`}
  </section>`;
}

function Mcp({ details }) {
  const { server, tools, tool_count: total, protocol, era } = details;
  if (!server && !tools && !protocol) return null;
  const about = [server?.version, protocol && `protocol ${shown(protocol)}`, era && shown(era)].filter(Boolean);
  return html`<section class="card">
    <h3>MCP server</h3>
    <p>${server?.name ? shown(server.name) : "unnamed"} <span class="muted">${about.map(shown).join(", ")}</span></p>
    ${Array.isArray(tools) && html`<h4>${count(total ?? tools.length, "tool")}</h4>
      <div class="chips">${tools.map((tool) => html`<code key=${shown(tool)}>${shown(tool)}</code>`)}</div>`}
  </section>`;
}

function Configured({ info }) {
  const { command, strategy, ...rest } = info;
  const pairs = Object.entries(rest).filter(([, value]) => value !== null && value !== "");
  if (!command && !pairs.length) return null;
  return html`<section class="card">
    <h3>Configured</h3>
    ${Array.isArray(command) && html`<pre class="output command" tabindex="0">${command.map(quoted).join(" ")}</pre>`}
    <${Pairs} pairs=${pairs} />
  </section>`;
}

const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);

function Reported({ details }) {
  const pairs = Object.entries(details).filter(([key]) => !SHOWN_APART.has(key));
  if (!pairs.length) return null;
  return html`<section class="card"><h3>Reported by itself</h3><${Pairs} pairs=${pairs} /></section>`;
}

const Pairs = ({ pairs }) =>
  pairs.length > 0 &&
  html`<dl class="pairs">${pairs.map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd>${shown(value)}</dd></div>`)}</dl>`;

