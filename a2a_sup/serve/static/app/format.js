// Numbers and times for people.

/** Seconds as the two largest units: `4 d 3 h`, `2 m 05 s`, `3.2 s`. */
export function duration(seconds) {
  const s = Math.max(0, seconds);
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} m ${pad(Math.floor(s % 60))} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad(Math.floor((s % 3600) / 60))} m`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** The same without tenths, for what counts up and must not flicker. */
export const elapsed = (seconds) =>
  seconds < 60 ? `${Math.floor(Math.max(0, seconds))} s` : duration(seconds);

/** The duration of a check. */
export function brief(seconds) {
  const ms = seconds * 1000;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${Math.round(ms)} ms` : `${seconds.toFixed(2)} s`;
}

const pad = (n) => String(n).padStart(2, "0");

/** The time of day of seconds since 1970, here. */
export function timeOfDay(wallTime) {
  const at = new Date(wallTime * 1000);
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
}

export function dateAndTime(wallTime) {
  const at = new Date(wallTime * 1000);
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${timeOfDay(wallTime)}`;
}

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;

/** A value of unknown shape as text. */
export function shown(value) {
  if (typeof value === "string") return value;
  return JSON.stringify(value);
}
