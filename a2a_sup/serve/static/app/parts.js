// Small pieces that several views use.
import { useNow, wall } from "./clock.js";
import { duration, elapsed } from "./format.js";
import { html } from "./html.js";
import { healthOf } from "./icons.js";

const BINS = 20;

/** Counts up from a time of the server's own clock. */
export function Uptime({ since }) {
  const now = useNow(1000);
  return html`<span class="num">${elapsed(now - wall(since))}</span>`;
}

/** Counts up from seconds since 1970. */
export function Since({ at }) {
  const now = useNow(1000);
  return html`<span class="num">${elapsed(now - at)}</span>`;
}

/** Counts down to the next attempt. */
export function Countdown({ child }) {
  const now = useNow(100);
  if (child.next_attempt_at === null) return html`<span class="muted">waits for its turn</span>`;
  const left = wall(child.next_attempt_at) - now;
  return html`<span class="num countdown">${left > 0 ? `in ${duration(left)}` : "now"}</span>`;
}

/** How much of the wait for the next attempt is over, as a bar. */
export function BackoffBar({ child }) {
  const now = useNow(100);
  if (child.next_attempt_at === null) return null;
  const whole = child.next_attempt_at - child.since;
  const part = whole > 0 ? Math.min(1, Math.max(0, (now - wall(child.since)) / whole)) : 1;
  return html`<div class="backoff-bar"><i style=${{ width: `${part * 100}%` }}></i></div>`;
}

/** What is worth a column: the next attempt, the uptime, or how long it has been down. */
export function TimeCell({ child }) {
  if (child.state === "backing_off") return html`<${Countdown} child=${child} />`;
  if (child.started_at !== null) return html`<${Uptime} since=${child.started_at} />`;
  return html`<span class="muted">for <${Uptime} since=${child.since} /></span>`;
}

/** Restarts of the last ten minutes, as bars: how many in each half minute. */
export function Sparkline({ tree, path }) {
  const now = useNow(5000);
  const counts = tree.recentRestarts(path, now, BINS);
  const most = Math.max(2, ...counts);
  const sum = counts.reduce((a, b) => a + b, 0);
  const bars = counts
    .map((n, i) => (n ? `M${i * 3 + 1} 14v${-Math.max(3, (n / most) * 13)}` : ""))
    .join("");
  return html`<svg class="spark" viewBox=${`0 0 ${BINS * 3} 15`} role="img"
    aria-label=${`${sum} restarts seen in the last 10 minutes`}>
    <path class="spark-base" d=${`M0 14.5h${BINS * 3}`} />
    <path class="spark-bars" d=${bars} />
  </svg>`;
}

export const Tags = ({ tags }) => tags.map((tag) => html`<span class="tag" key=${tag}>${tag}</span>`);

/** A reason in one line. */
export function reasonText(reason) {
  if (reason === null) return "";
  return reason.text ? `${reason.kind.replace("_", " ")}: ${reason.text}` : reason.kind.replace("_", " ");
}

export const isBenign = (reason) => reason.kind === "normal" || reason.kind === "shutdown";

/** What a row says beside states and numbers: why it is as it is. */
export function remarkOf(child) {
  const { sign } = healthOf(child);
  if (sign === "bad" || sign === "wait") {
    for (const probe of child.probes) {
      const last = probe.results.at(-1);
      if (probe.passing === false && last) return `${probe.name}: ${last.message || "failed"}`;
    }
  }
  return reasonText(child.last_reason);
}

/** The row of tabs; arrows move between them. */
export function Tabs({ tabs, current, onSelect, label }) {
  const move = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const at = tabs.findIndex(([name]) => name === current);
    const next = (at + step + tabs.length) % tabs.length;
    onSelect(tabs[next][0]);
    event.currentTarget.children[next].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move}>
    ${tabs.map(
      ([name, text]) => html`<button key=${name} role="tab" aria-selected=${name === current ? "true" : "false"}
        tabindex=${name === current ? 0 : -1} onClick=${() => onSelect(name)}>${text}</button>`,
    )}
  </div>`;
}
