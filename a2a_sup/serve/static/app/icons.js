// A shape for each state and each health, so that colour is never the only sign.
import { html } from "./html.js";

export const STATE_WORDS = {
  pending: "pending",
  starting: "starting",
  running: "running",
  backing_off: "backing off",
  stopping: "stopping",
  stopped: "stopped",
  finished: "finished",
  failed: "failed",
  stuck: "stuck",
};

const SHAPES = {
  pending: html`<circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="2 2.1" />`,
  starting: html`<circle cx="8" cy="8" r="5.2" fill="none" stroke="currentColor" stroke-width="1.6" /><path d="M8 2.8a5.2 5.2 0 0 1 0 10.4z" fill="currentColor" />`,
  running: html`<circle cx="8" cy="8" r="5.4" fill="currentColor" />`,
  backing_off: html`<path d="M8 1.6 14.4 8 8 14.4 1.6 8z" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" /><path d="M8 5v3.2l1.8 1.3" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />`,
  stopping: html`<path d="M2.6 4.2h10.8L8 13.2z" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linejoin="round" />`,
  stopped: html`<rect x="3.2" y="3.2" width="9.6" height="9.6" rx="1.6" fill="none" stroke="currentColor" stroke-width="1.7" />`,
  finished: html`<path d="m3 8.6 3.3 3.3L13 4.8" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" />`,
  failed: html`<rect x="1.8" y="1.8" width="12.4" height="12.4" rx="2.4" fill="currentColor" /><path d="m5.4 5.4 5.2 5.2m0-5.2-5.2 5.2" stroke="var(--on-solid)" stroke-width="1.9" stroke-linecap="round" />`,
  stuck: html`<path d="M5.2 1.8h5.6l3.4 3.4v5.6l-3.4 3.4H5.2l-3.4-3.4V5.2z" fill="currentColor" /><path d="M8 4.6v4M8 11.2v.2" stroke="var(--on-solid)" stroke-width="2" stroke-linecap="round" />`,
};

const HEALTH = {
  good: html`<path d="m4 8.4 2.8 2.7L12.2 5.3" fill="none" stroke="currentColor" stroke-width="1.9" stroke-linecap="round" stroke-linejoin="round" />`,
  bad: html`<path d="M8 2.4 14.6 13.4H1.4z" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" /><path d="M8 6.4v3M8 11.4v.1" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" />`,
  unknown: html`<path d="M5 8h6" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
};

const svg = (name, inside) => html`<svg class=${`icon ${name}`} viewBox="0 0 16 16" aria-hidden="true">${inside}</svg>`;

/** A state by shape, colour and word. */
export const StateMark = ({ state }) => html`<span class=${`mark s-${state}`}>
  ${svg("", SHAPES[state])}<span class="word">${STATE_WORDS[state] ?? state}</span>
</span>`;

export const stateIcon = (state) => html`<span class=${`mark s-${state}`}>${svg("", SHAPES[state])}</span>`;

export const unhealthyIcon = () => html`<span class="mark h-bad">${svg("", HEALTH.bad)}</span>`;

/** Health and readiness of a child in one sign and one or two words. */
export function healthOf(child) {
  if (child.state !== "running") return { sign: "unknown", word: "" };
  if (child.healthy === false) return { sign: "bad", word: "unhealthy" };
  if (child.ready === false) return { sign: "wait", word: "not ready" };
  if (child.healthy === true) return { sign: "good", word: "healthy" };
  if (child.ready === true) return { sign: "good", word: "ready" };
  return { sign: "unknown", word: "" };
}

export function HealthMark({ child }) {
  const { sign, word } = healthOf(child);
  if (!word) return html`<span class="mark h-unknown" title="no probe says anything">${svg("", HEALTH.unknown)}</span>`;
  const shape = sign === "wait" ? SHAPES.starting : HEALTH[sign];
  return html`<span class=${`mark h-${sign}`}>${svg("", shape)}<span class="word">${word}</span></span>`;
}

const GLYPHS = {
  open: html`<path d="m4 6 4 4.4L12 6" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />`,
  closed: html`<path d="m6 4 4.4 4L6 12" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />`,
  close: html`<path d="m4 4 8 8m0-8-8 8" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" />`,
  sun: html`<circle cx="8" cy="8" r="3" fill="none" stroke="currentColor" stroke-width="1.6" /><path d="M8 1.2v1.6m0 10.4v1.6M1.2 8h1.6m10.4 0h1.6M3.2 3.2l1.1 1.1m7.4 7.4 1.1 1.1m0-9.6-1.1 1.1m-7.4 7.4-1.1 1.1" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" />`,
  moon: html`<path d="M13.4 9.8A5.8 5.8 0 0 1 6.2 2.6a5.8 5.8 0 1 0 7.2 7.2z" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round" />`,
  key: html`<circle cx="5.2" cy="10.8" r="3" fill="none" stroke="currentColor" stroke-width="1.6" /><path d="m7.4 8.6 5.8-5.8m-2.6 2.6 2 2" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
  play: html`<path d="M4.5 2.8v10.4L13 8z" fill="currentColor" />`,
  stop: html`<rect x="3.5" y="3.5" width="9" height="9" rx="1.4" fill="currentColor" />`,
  restart: html`<path d="M13 8a5 5 0 1 1-1.6-3.7M13 1.8v3.1H9.9" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" />`,
  panel: html`<rect x="1.8" y="2.8" width="12.4" height="10.4" rx="1.6" fill="none" stroke="currentColor" stroke-width="1.5" /><path d="M9.4 3v10" stroke="currentColor" stroke-width="1.5" />`,
  search: html`<circle cx="7" cy="7" r="4.4" fill="none" stroke="currentColor" stroke-width="1.6" /><path d="m10.4 10.4 3.4 3.4" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" />`,
};

export const Glyph = ({ name }) => svg("glyph", GLYPHS[name]);
