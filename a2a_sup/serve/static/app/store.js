// What the page knows. Components listen to topics; a topic is told at most once per frame.
import { getToken, lastEvents } from "./api.js";
import { freeze, heard, thaw } from "./clock.js";
import { Connection, dashboardUrl } from "./connection.js";
import { useEffect, useState } from "./html.js";
import { Tree } from "./model.js";

const EVENTS_KEPT = 3000;
const EVENTS_RECALLED = 1000;
const SAMPLES_KEPT = 720; // an hour, at one in 5 s
const POLL = 2000;

export const store = {
  tree: new Tree(),
  events: [], // oldest first
  dropped: 0,
  agents: [],
  samples: [], // of metrics:update, oldest first
  startedAt: null, // of the supervisor, seconds since 1970
  connection: { phase: "connecting", lostAt: null, retryAt: null },
};

const listeners = new Map();
const changed = new Set();

function tell() {
  const topics = [...changed];
  changed.clear();
  const callbacks = new Set(topics.flatMap((topic) => [...(listeners.get(topic) ?? [])]));
  for (const callback of callbacks) callback();
}

export function touch(topic) {
  if (changed.size === 0) requestAnimationFrame(tell);
  changed.add(topic);
}

/** Renders the component again when one of these topics has changed. */
export function useStore(...topics) {
  const [, again] = useState(0);
  useEffect(() => {
    const callback = () => again((n) => n + 1);
    for (const topic of topics) {
      if (!listeners.has(topic)) listeners.set(topic, new Set());
      listeners.get(topic).add(callback);
    }
    again((n) => n + 1); // what happened before it listened
    return () => topics.forEach((topic) => listeners.get(topic).delete(callback));
  }, topics);
  return store;
}

const take = {
  "tree:snapshot": (data) => {
    heard(data.wall_time, data.time);
    store.tree.replace(data);
    touch("tree");
  },
  "tree:delta": (data) => {
    heard(data.wall_time, data.time);
    if (store.tree.change(data)) touch("tree");
    else connection.ask("request_tree");
  },
  "tree:event": (data) => addEvents(data.events),
  "metrics:update": (data, timestamp) => {
    heard(timestamp / 1000);
    const uptime = data.performance?.uptime;
    if (typeof uptime === "number") store.startedAt = timestamp / 1000 - uptime;
    store.samples.push({ at: timestamp / 1000, ...data });
    if (store.samples.length > SAMPLES_KEPT) store.samples.shift();
    touch("metrics");
  },
  "agents:list": (data) => {
    store.agents = data;
    touch("agents");
  },
  "agent:deployed": askAgents,
  "agent:updated": askAgents,
  "agent:removed": askAgents,
};

let agentsAsked = null;

// One question for a burst of changes.
function askAgents() {
  agentsAsked ??= setTimeout(() => {
    agentsAsked = null;
    connection?.ask("request_agents");
  }, 300);
}

function addEvents(events) {
  let last = store.events.at(-1)?.seq ?? 0;
  for (const event of events) {
    if (event.type === "events.dropped") store.dropped += event.count;
    else if (event.seq > last) {
      store.events.push(event);
      last = event.seq;
    }
  }
  limitEvents();
}

function limitEvents() {
  if (store.events.length > EVENTS_KEPT) store.events.splice(0, store.events.length - EVENTS_KEPT);
  touch("events");
}

/** Asks what happened before, as far as the server keeps it and tells it to this page. */
export async function recall() {
  let before;
  try {
    before = (await lastEvents(EVENTS_RECALLED)).filter((event) => event.seq !== undefined);
  } catch {
    return; // The page does without.
  }
  const first = store.events[0]?.seq ?? Infinity;
  before = before.filter((event) => event.seq < first);
  store.events = [...before, ...store.events];
  for (const event of before) {
    if (event.type === "child.backing_off") store.tree.recallRestart(event.path, event.wall_time);
  }
  limitEvents();
  touch("tree");
}

function opened() {
  thaw();
  store.connection = { phase: "live", lostAt: null, retryAt: null };
  store.tree.revision = null;
  store.events = [];
  for (const question of ["request_tree", "request_events", "request_agents"]) {
    connection.ask(question);
  }
  recall();
  touch("connection");
  touch("events");
}

function lost(retryAt) {
  freeze();
  const { phase, lostAt } = store.connection;
  store.connection = {
    phase: phase === "connecting" ? "connecting" : "lost",
    lostAt: lostAt ?? Date.now(),
    retryAt,
  };
  touch("connection");
  if (retryAt !== null) comparePage();
}

// The server may have come back with its dashboard elsewhere, or with a newer page.
async function comparePage() {
  try {
    const text = await (await fetch("./", { cache: "no-cache" })).text();
    const digest = /static\/([0-9a-f]+)\//.exec(text)?.[1];
    const where = /name="a2a-dashboard" content="([^"]*)"/.exec(text)?.[1];
    const isOther = where !== undefined && where !== meta.content;
    if (isOther || (digest && !import.meta.url.includes(`/${digest}/`))) location.reload();
  } catch {
    // It is not back yet.
  }
}

async function poll() {
  try {
    const reply = await fetch("api/v1/tree", { cache: "no-cache" });
    if (!reply.ok) throw new Error(`status ${reply.status}`);
    const { tree, ...rest } = asSnapshot(await reply.json());
    thaw();
    take["tree:snapshot"]({ ...rest, tree });
    recall();
    store.connection = { phase: "polling", lostAt: null, retryAt: null };
    touch("connection");
  } catch {
    lost(null);
  }
  setTimeout(poll, POLL);
}

const asSnapshot = (body) =>
  body.tree ? body : { ...body, tree: { name: body.name, root: body.root } };

let connection = null;
let meta = null;

/** Begins to listen to the server. */
export function connect() {
  meta = document.querySelector('meta[name="a2a-dashboard"]');
  const url = dashboardUrl(meta.content);
  if (url === null) {
    poll();
    return;
  }
  const frame = (type, data, timestamp) => Object.hasOwn(take, type) && take[type](data, timestamp);
  connection = new Connection(url, { frame, open: opened, lost }, getToken);
  connection.open();
  for (const type of ["online", "focus"]) addEventListener(type, () => connection.retry());
}

export const retryNow = () => connection?.retry();
