// The tree as the server tells it: one snapshot, then changes. No document, no socket.

export const ROOT = "";
const RESTARTS_KEPT = 200;
const HISTORY_SECONDS = 600;
const RECALL_SECONDS = 10; // a restart is told when its backoff begins, and counted when it is over

/** What a state asks of whoever looks: 0 nothing, 3 and above is a problem. */
const ATTENTION = {
  stuck: 6,
  failed: 5,
  backing_off: 4,
  stopping: 1,
  starting: 1,
  pending: 1,
};
export const PROBLEM = 3;

export const STATES = [
  "running",
  "starting",
  "backing_off",
  "failed",
  "stuck",
  "stopping",
  "stopped",
  "finished",
  "pending",
];

export function attention(child) {
  const byState = ATTENTION[child.state] ?? 0;
  if (child.state !== "running") return byState;
  if (child.healthy === false) return 4;
  return child.ready === false ? 2 : 0;
}

/** Where a path is: its parent, the root for one without. */
export function parentOf(path) {
  const cut = path.lastIndexOf("/");
  return cut < 0 ? ROOT : path.slice(0, cut);
}

export class Tree {
  constructor() {
    this.name = "";
    this.strategy = "";
    this.revision = null;
    this.children = new Map(); // path -> child, without what is below it
    this.below = new Map([[ROOT, []]]); // path of a supervisor -> paths, in start order
    this.restarts = new Map(); // path -> when it was restarted, seconds since 1970
  }

  /** Takes a `tree:snapshot`: everything else is forgotten, but not when children restarted. */
  replace({ revision, wall_time: at, tree }) {
    const before = this.children;
    this.name = tree.name;
    this.strategy = tree.root.strategy;
    this.revision = revision;
    this.children = new Map();
    this.below = new Map([[ROOT, []]]);
    this.#fill(ROOT, tree.root.children, before, at);
    for (const path of this.restarts.keys()) {
      if (!this.children.has(path)) this.restarts.delete(path);
    }
  }

  /** Takes a `tree:delta`. Returns false if one was missed: a snapshot is needed then. */
  change({ from, to, wall_time: at, changes }) {
    if (this.revision === null || from !== this.revision) return false;
    for (const { path, child } of changes) {
      if (child === null) this.#remove(path);
      else if (path === ROOT) this.strategy = child.supervisor?.strategy ?? this.strategy;
      else this.#put(path, child, at);
    }
    this.revision = to;
    return true;
  }

  #fill(parent, children, before, at) {
    for (const child of children) {
      this.#noteRestarts(child, before.get(child.path), at);
      this.children.set(child.path, child);
      this.below.get(parent).push(child.path);
      if (child.supervisor !== null) {
        this.below.set(child.path, []);
        this.#fill(child.path, child.supervisor.children ?? [], before, at);
        child.supervisor.children = undefined;
      }
    }
  }

  #put(path, child, at) {
    const old = this.children.get(path);
    const parent = parentOf(path);
    if (old === undefined) {
      if (!this.below.has(parent)) this.below.set(parent, []);
      this.below.get(parent).push(path);
    }
    this.#noteRestarts(child, old, at);
    this.children.set(path, child);
    if (child.supervisor === null) {
      this.#removeBelow(path);
      this.below.delete(path);
    } else if (child.supervisor.children !== undefined) {
      this.#removeBelow(path);
      this.below.set(path, []);
      this.#fill(path, child.supervisor.children, new Map(), at);
      child.supervisor.children = undefined;
    } else if (!this.below.has(path)) {
      this.below.set(path, []);
    }
  }

  #remove(path) {
    const siblings = this.below.get(parentOf(path));
    const place = siblings?.indexOf(path) ?? -1;
    if (place >= 0) siblings.splice(place, 1);
    this.#removeBelow(path);
    this.below.delete(path);
    this.children.delete(path);
    this.restarts.delete(path);
  }

  #removeBelow(path) {
    for (const child of this.below.get(path) ?? []) {
      this.#removeBelow(child);
      this.below.delete(child);
      this.children.delete(child);
    }
    if (this.below.has(path)) this.below.set(path, []);
  }

  #noteRestarts(child, old, at) {
    if (old === undefined || child.restarts <= old.restarts) return;
    for (let n = old.restarts; n < child.restarts; n++) this.noteRestart(child.path, at);
  }

  /** Notes a restart from before this page was opened, unless it is known. */
  recallRestart(path, at) {
    const known = this.restarts.get(path);
    if (known?.some((time) => Math.abs(time - at) < RECALL_SECONDS)) return;
    this.noteRestart(path, at);
  }

  noteRestart(path, at) {
    const times = this.restarts.get(path) ?? [];
    times.push(at);
    if (times.length > RESTARTS_KEPT) times.shift();
    this.restarts.set(path, times);
  }

  /** How many restarts a child had in each of `bins` equal parts of the last ten minutes. */
  recentRestarts(path, now, bins) {
    const counts = new Array(bins).fill(0);
    for (const at of this.restarts.get(path) ?? []) {
      const bin = bins - 1 - Math.floor(((now - at) / HISTORY_SECONDS) * bins);
      if (bin >= 0) counts[Math.min(bin, bins - 1)] += 1;
    }
    return counts;
  }

  /** How many children are in each state, and how many are unhealthy; supervisors included. */
  totals() {
    const totals = { all: this.children.size, unhealthy: 0 };
    for (const state of STATES) totals[state] = 0;
    for (const child of this.children.values()) {
      totals[child.state] += 1;
      if (child.state === "running" && child.healthy === false) totals.unhealthy += 1;
    }
    return totals;
  }

  tags() {
    const tags = new Set();
    for (const child of this.children.values()) for (const tag of child.tags) tags.add(tag);
    return [...tags].sort();
  }
}
