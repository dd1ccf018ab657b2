// What happened, newest first: of all children, or of one.
import { timeOfDay, dateAndTime, brief, duration } from "./format.js";
import { html, useState } from "./html.js";
import { isBenign, reasonText } from "./parts.js";
import { useStore } from "./store.js";

const SHOWN = 300;

const KINDS = [
  ["problems", "Problems"],
  ["life", "Starts and stops"],
  ["health", "Health"],
  ["probes", "Probes"],
];

/** What an event says: `[kind, tone, words]`; the kinds are those of the filter. */
export function tell(event) {
  const reason = event.reason ? reasonText(event.reason) : "";
  const tone = event.reason && !isBenign(event.reason) ? "bad" : "calm";
  switch (event.type) {
    case "child.ended":
      return [tone === "bad" ? "problems" : "life", tone, `ended, ${reason}`];
    case "child.start_failed":
      return ["problems", "bad", `did not start, ${reason}`];
    case "child.backing_off":
      return ["problems", "warn", `tries again in ${duration(event.delay)}, restart ${event.restarts} of its window`];
    case "child.failed":
      return ["problems", "bad", `given up, ${reason}`];
    case "child.stuck":
      return ["problems", "stuck", `stuck\n${event.stack}`];
    case "child.recovered":
      return ["life", "good", `recovered: up for ${duration(event.uptime)}`];
    case "child.started":
      return ["life", "good", "started"];
    case "child.stopped":
      return ["life", "calm", `stopped, ${reason}`];
    case "child.waiting":
      return ["life", "calm", event.waits_for.length ? `waits for ${event.waits_for.join(", ")}` : "waits for nothing more"];
    case "child.ready":
      return ["health", event.ready ? "good" : "warn", event.ready ? "ready" : "not ready"];
    case "child.health":
      return ["health", event.healthy ? "good" : "bad", `${event.healthy ? "healthy" : "unhealthy"}: ${event.because}`];
    case "child.probed": {
      const { passed, message, duration: took } = event.result;
      const words = `${event.probe} ${passed ? "passed" : "failed"} in ${brief(took)}`;
      return ["probes", passed ? "calm" : "warn", message ? `${words}: ${message}` : words];
    }
    case "child.reported":
      return ["life", "calm", `reported ${Object.keys(event.details).join(", ")}`];
    case "supervisor.gave_up":
      return ["problems", "bad", `gave up because of ${event.child}: ${reason}`];
    case "supervisor.ended":
      return ["life", tone, `supervisor ended, ${reason}`];
    default:
      return ["life", "calm", String(event.type).replace(/^child\./, "").replaceAll(/[._]/g, " ")];
  }
}

export function Timeline({ path = null, isLeaf = false, onGo }) {
  const { events, dropped } = useStore("events");
  const [kinds, setKinds] = useState(["problems", "life", "health"]);
  const [words, setWords] = useState("");
  const toggle = (kind) =>
    setKinds(kinds.includes(kind) ? kinds.filter((one) => one !== kind) : [...kinds, kind]);

  const wanted = words.toLowerCase();
  const shown = [];
  for (let i = events.length - 1; i >= 0 && shown.length < SHOWN; i--) {
    const event = events[i];
    if (path !== null && event.path !== path && !event.path.startsWith(`${path}/`)) continue;
    const [kind, tone, said] = tell(event);
    if (!kinds.includes(kind)) continue;
    if (wanted && !`${event.path} ${said}`.toLowerCase().includes(wanted)) continue;
    shown.push({ event, tone, said });
  }
  return html`<div class="timeline-view" role="tabpanel" aria-label="Events">
    <div class="bar">
      ${KINDS.map(
        ([kind, text]) => html`<button key=${kind} aria-pressed=${String(kinds.includes(kind))} onClick=${() => toggle(kind)}>${text}</button>`,
      )}
      <input type="search" class="grow" placeholder="Filter events" aria-label="Filter events" value=${words} onInput=${(e) => setWords(e.target.value)} />
    </div>
    <ol class=${`timeline scroll ${isLeaf ? "own" : ""}`} tabindex="0">
      ${dropped > 0 && html`<li class="tone-warn"><span></span><span></span><span class="said">${dropped} events were dropped on the way</span></li>`}
      ${shown.map(
        ({ event, tone, said }) => html`<li key=${event.seq} class=${`tone-${tone}`}>
          <time title=${dateAndTime(event.wall_time)}>${timeOfDay(event.wall_time)}</time>
          ${event.path === path || event.path === ""
            ? html`<span class="who muted">${event.path === "" ? "(root)" : ""}</span>`
            : html`<button class="link who" title=${event.path} onClick=${() => onGo(event.path)}>${event.path}</button>`}
          <span class="said">${said}</span>
        </li>`,
      )}
      ${shown.length === 0 && html`<li class="empty muted">${events.length ? "Nothing matches." : "Nothing has happened since this page was opened."}</li>`}
    </ol>
  </div>`;
}
