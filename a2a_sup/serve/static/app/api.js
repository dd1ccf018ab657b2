// The HTTP API of this host. The token is kept for this tab only.

const KEY = "a2a-token";

export function getToken() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function setToken(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function url(path, action) {
  const parts = path.split("/").map(encodeURIComponent).join("/");
  return `api/v1/children/${parts}/${action}`;
}

const authority = () => {
  const token = getToken();
  return token ? { authorization: `Bearer ${token}` } : {};
};

/** What went wrong, as one line: RFC 9457's problem, or the status alone. */
async function problemOf(reply) {
  let text = `${reply.status} ${reply.statusText}`.trim();
  try {
    const problem = await reply.json();
    text = [problem.title, problem.detail].filter((part) => typeof part === "string").join(": ");
  } catch {
    // Not JSON: the status has to do.
  }
  return new ApiError(reply.status, text);
}

/** Starts, stops or restarts a child; returns when it is done. Throws ApiError or TypeError. */
export async function command(path, action) {
  const reply = await fetch(url(path, action), { method: "POST", headers: authority() });
  if (!reply.ok) throw await problemOf(reply);
}

/** What the processes of all children use. Throws ApiError or TypeError. */
export async function readUsage() {
  const reply = await fetch("api/v1/usage", { headers: authority() });
  if (!reply.ok) throw await problemOf(reply);
  return reply.json();
}

/** The last events, oldest first. Throws ApiError or TypeError. */
export async function lastEvents(number) {
  const reply = await fetch(`api/v1/events?follow=0&last=${number}`, { headers: authority() });
  if (!reply.ok) throw await problemOf(reply);
  return (await reply.json()).events;
}

/**
 * Follows what a child prints: calls `on` with lists of lines, until the signal aborts or the
 * server ends the stream. Throws ApiError or TypeError.
 */
export async function followLog(path, lines, signal, on) {
  const reply = await fetch(`${url(path, "logs")}?lines=${lines}&follow=1`, {
    headers: { accept: "text/event-stream", ...authority() },
    signal,
  });
  if (!reply.ok) throw await problemOf(reply);
  const text = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await text.read();
    if (done) return;
    const blocks = (rest + value).replaceAll("\r\n", "\n").split("\n\n");
    rest = blocks.pop();
    const found = blocks.flatMap(linesOf);
    if (found.length) on(found);
  }
}

// One server-sent event has one line of output; comments keep the connection alive.
function linesOf(block) {
  const data = block
    .split("\n")
    .filter((field) => field.startsWith("data:"))
    .map((field) => field.slice(5).replace(/^ /, ""));
  return data.length ? [lineOf(JSON.parse(data.join("\n")))] : [];
}

function lineOf(value) {
  if (value?.dropped_bytes) return `[${value.dropped_bytes} bytes were not shown: too fast]`;
  return String(value?.text ?? JSON.stringify(value));
}
