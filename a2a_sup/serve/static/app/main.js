// The page: what is chosen and asked for, and the views of it.
import { Agents } from "./agents.js";
import { ApiError, command, getToken, setToken } from "./api.js";
import { Charts } from "./charts.js";
import { useNow } from "./clock.js";
import { Details } from "./details.js";
import { Confirm, Notes, TokenDialog } from "./dialogs.js";
import { count, duration, elapsed, timeOfDay } from "./format.js";
import { html, render, useEffect, useMemo, useRef, useState } from "./html.js";
import { Glyph, STATE_WORDS, stateIcon, unhealthyIcon } from "./icons.js";
import { STATES } from "./model.js";
import { Since, Tabs } from "./parts.js";
import { visibleRows } from "./rows.js";
import { connect, recall, retryNow, useStore } from "./store.js";
import { Timeline } from "./timeline.js";
import { TreeGrid } from "./treegrid.js";

const OVERVIEW = [
  ["events", "Events"],
  ["metrics", "Metrics"],
  ["agents", "Agents"],
];
const DONE = { start: "started", stop: "stopped", restart: "restarted" };
const NOTE_SECONDS = 5;
const narrow = matchMedia("(max-width: 760px)");

// --- what is chosen is part of the address, so that a reload shows the same ------------------

const fromAddress = () => {
  try {
    return decodeURIComponent(location.hash.replace(/^#\/?/, "")) || null;
  } catch {
    return null;
  }
};

function useSelection() {
  const [selected, set] = useState(fromAddress);
  useEffect(() => {
    const follow = () => set(fromAddress());
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  const select = (path) => {
    const hash = path === null ? "" : `#/${path.split("/").map(encodeURIComponent).join("/")}`;
    history.replaceState(null, "", `${location.pathname}${location.search}${hash}`);
    set(path);
  };
  return [selected, select];
}

function useNotes() {
  const [notes, set] = useState([]);
  const next = useRef(0);
  const dismiss = (id) => set((now) => now.filter((note) => note.id !== id));
  const add = (tone, text) => {
    const id = next.current++;
    set((now) => [...now.slice(-3), { id, tone, text }]);
    if (tone === "good") setTimeout(dismiss, NOTE_SECONDS * 1000, id);
  };
  return [notes, add, dismiss];
}

// --- the whole ----------------------------------------------------------------------------------

function App() {
  const store = useStore("tree", "connection");
  const { tree, connection } = store;
  const [filter, setFilter] = useState("");
  const [states, setStates] = useState([]);
  const [tag, setTag] = useState("");
  const [problemsFirst, setProblemsFirst] = useState(false);
  const [collapsed, setCollapsed] = useState(() => new Set());
  const [selected, select] = useSelection();
  const [cursor, setCursor] = useState(selected);
  const [tab, setTab] = useState("about");
  const [overview, setOverview] = useState("events");
  const [sheet, setSheet] = useState(selected !== null);
  const [dialog, setDialog] = useState(null);
  const [notes, note, dismiss] = useNotes();
  const filterRef = useRef(null);

  const asked = { filter, states, tag, collapsed, problemsFirst };
  const { rows, matches, isFiltered } = useMemo(
    () => visibleRows(tree, asked),
    [tree.revision, tree.children, connection.phase, filter, states, tag, collapsed, problemsFirst],
  );
  const child = selected === null ? null : (tree.children.get(selected) ?? null);

  const open = (path) => {
    setCursor(path);
    select(path);
    setSheet(true);
  };
  const close = () => {
    select(null);
    setSheet(false);
    document.querySelector(".grid")?.focus();
  };
  const move = (path) => {
    setCursor(path);
    if (selected !== null && !narrow.matches) select(path);
  };
  const toggle = (path) => {
    const next = new Set(collapsed);
    if (!next.delete(path)) next.add(path);
    setCollapsed(next);
  };
  const supervisors = () => [...tree.below.keys()].filter((path) => path !== "");
  const toggleState = (state) =>
    setStates(states.includes(state) ? states.filter((one) => one !== state) : [...states, state]);
  const clearFilter = () => {
    setFilter("");
    setStates([]);
    setTag("");
  };

  const act = async (action, path) => {
    setDialog(null);
    try {
      await command(path, action);
      note("good", `${path} was ${DONE[action]}.`);
    } catch (error) {
      const text = error instanceof ApiError ? error.message : "No answer from the server.";
      if (error.status === 401) {
        setDialog({ kind: "token", why: text, then: { action, path } });
      } else note("bad", `${path} was not ${DONE[action]}. ${text}`);
    }
  };
  const takeToken = (token) => {
    setToken(token);
    retryNow();
    recall();
    const { then } = dialog;
    setDialog(null);
    if (token && then) act(then.action, then.path);
  };
  const ask = (action) => setDialog({ kind: "confirm", action, path: selected });

  useEffect(() => {
    const press = (event) => {
      if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
      const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
      if (event.key === "/" && !isTyping) {
        event.preventDefault();
        filterRef.current.focus();
        filterRef.current.select();
      } else if (event.key === "Escape") {
        if (event.target === filterRef.current) {
          if (filter) setFilter("");
          else document.querySelector(".grid")?.focus();
        } else if (sheet || selected !== null) close();
        else clearFilter();
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });
  useEffect(() => {
    document.title = tree.name ? `${tree.name} · a2a-sup` : "a2a-sup";
  }, [tree.name]);

  const isStale = connection.phase === "lost";
  return html`<div class=${`app ${isStale ? "stale" : ""} ${sheet ? "with-sheet" : ""}`}>
    <${Header} store=${store} states=${states} onState=${toggleState} onKey=${() => setDialog({ kind: "token" })}
      onPanel=${() => { if (sheet) close(); else setSheet(true); }} />
    ${(isStale || (connection.phase === "connecting" && connection.lostAt)) && html`<${Lost} connection=${connection} onToken=${() => setDialog({ kind: "token", why: "" })} />`}
    <main>
      <section class="tree-pane" aria-label="Tree">
        <div class="bar">
          <label class="search grow"><${Glyph} name="search" />
            <input type="search" ref=${filterRef} value=${filter} placeholder="Filter by name, tag: or state:" aria-label="Filter"
              aria-keyshortcuts="/" onInput=${(e) => setFilter(e.target.value)}
              onKeyDown=${(e) => {
                if (e.key !== "ArrowDown" && e.key !== "Enter") return;
                e.preventDefault();
                if (rows.length && !rows.some((row) => row.path === cursor)) setCursor(rows[0].path);
                document.querySelector(".grid").focus();
              }} /><kbd>/</kbd></label>
          <select aria-label="Tag" value=${tag} onChange=${(e) => setTag(e.target.value)}>
            <option value="">All tags</option>
            ${tree.tags().map((one) => html`<option key=${one} value=${one}>${one}</option>`)}
          </select>
          <button aria-pressed=${String(problemsFirst)} onClick=${() => setProblemsFirst(!problemsFirst)}>Problems first</button>
          <button class="fold" onClick=${() => setCollapsed(collapsed.size ? new Set() : new Set(supervisors()))}>${collapsed.size ? "Expand all" : "Collapse all"}</button>
          ${isFiltered && html`<span class="found">${matches} of ${tree.children.size} <button class="link" onClick=${clearFilter}>Clear</button></span>`}
        </div>
        ${tree.revision === null && connection.phase === "connecting"
          ? html`<p class="empty muted">Waiting for the supervisor.</p>`
          : html`<${TreeGrid} tree=${tree} rows=${rows} cursor=${cursor} selected=${selected}
              onCursor=${move} onOpen=${open} onToggle=${toggle} />`}
        ${tree.revision !== null && rows.length === 0 && html`<p class="empty muted">${isFiltered ? "No child matches." : "There are no children."}</p>`}
      </section>
      <aside>
        ${child
          ? html`<${Details} store=${store} child=${child} tab=${tab} onTab=${setTab} onClose=${close} onGo=${open} onCommand=${ask}
              onToken=${() => setDialog({ kind: "token" })} />`
          : html`<section class="panel" aria-label="Overview">
              <header class="panel-head">
                ${selected !== null && html`<p class="trouble">${selected} is not in the tree now.</p>`}
                <${Tabs} tabs=${OVERVIEW} current=${overview} onSelect=${setOverview} label="Overview" />
              </header>
              ${overview === "events" && html`<${Timeline} onGo=${open} />`}
              ${overview === "metrics" && html`<${Charts} />`}
              ${overview === "agents" && html`<${Agents} onGo=${open} />`}
            </section>`}
      </aside>
    </main>
    ${dialog?.kind === "confirm" && html`<${Confirm} action=${dialog.action} path=${dialog.path}
      onYes=${() => act(dialog.action, dialog.path)} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === "token" && html`<${TokenDialog} why=${dialog.why} hasToken=${getToken() !== null}
      onToken=${takeToken} onClose=${() => setDialog(null)} />`}
    <${Notes} notes=${notes} onDismiss=${dismiss} />
  </div>`;
}

// --- the top --------------------------------------------------------------------------------------

const PHASES = {
  connecting: ["wait", "connecting"],
  live: ["good", "live"],
  lost: ["bad", "connection lost"],
  polling: ["wait", "every 2 s"],
};

function Header({ store, states, onState, onKey, onPanel }) {
  const { tree, connection, startedAt } = useStore("tree", "connection", "metrics");
  const totals = tree.totals();
  const [tone, word] = PHASES[connection.phase];
  const shown = STATES.filter((state) => totals[state] > 0 || states.includes(state));
  return html`<header class="top">
    <h1>${tree.name || "a2a-sup"}</h1>
    <span class=${`link-state h-${tone}`} role="status"><i></i>${word}</span>
    ${startedAt !== null && html`<span class="up muted">up <${Since} at=${startedAt} /></span>`}
    <nav class="totals" aria-label="Show only">
      <span class="muted">${count(totals.all, "child", "children")}</span>
      ${shown.map((state) => html`<button key=${state} class="chip" aria-pressed=${String(states.includes(state))} onClick=${() => onState(state)}>
        ${stateIcon(state)}<b class="num">${totals[state].toLocaleString("en")}</b> ${STATE_WORDS[state]}</button>`)}
      ${(totals.unhealthy > 0 || states.includes("unhealthy")) && html`<button class="chip" aria-pressed=${String(states.includes("unhealthy"))} onClick=${() => onState("unhealthy")}>
        ${unhealthyIcon()}<b class="num">${totals.unhealthy}</b> unhealthy</button>`}
    </nav>
    <span class="tools">
      <button class="quiet square panel-button" onClick=${onPanel} title="Events, metrics, agents" aria-label="Events, metrics, agents"><${Glyph} name="panel" /></button>
      <button class="quiet square" onClick=${onKey} title="Token" aria-label="Token"><${Glyph} name="key" /></button>
      <${Theme} />
    </span>
  </header>`;
}

function Theme() {
  const root = document.documentElement;
  const system = () => (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const [theme, setTheme] = useState(root.dataset.theme ?? system());
  const other = theme === "dark" ? "light" : "dark";
  const change = () => {
    root.dataset.theme = other;
    setTheme(other);
    try {
      if (other === system()) {
        delete root.dataset.theme;
        localStorage.removeItem("a2a-theme");
      } else localStorage.setItem("a2a-theme", other);
    } catch {
      // Storage is forbidden: the choice lasts as long as the page.
    }
  };
  return html`<button class="quiet square" onClick=${change} title=${`Use the ${other} theme`} aria-label=${`Use the ${other} theme`}>
    <${Glyph} name=${theme === "dark" ? "sun" : "moon"} /></button>`;
}

function Lost({ connection, onToken }) {
  useNow(200);
  const left = connection.retryAt === null ? null : (connection.retryAt - Date.now()) / 1000;
  const ago = (Date.now() - connection.lostAt) / 1000;
  const was = connection.phase === "lost";
  return html`<div class="lost" role="alert">
    <b>${was ? `Connection lost ${elapsed(ago)} ago.` : "The dashboard does not answer."}</b>
    ${was && html` <span>What you see is how it was at ${timeOfDay(connection.lostAt / 1000)}.</span>`}
    <span class="num" aria-hidden="true">${left === null ? "" : left > 0 ? `Next try in ${duration(left)}.` : "Trying now."}</span>
    ${!was && html`<button onClick=${onToken}>Enter a token</button>`}
    <button onClick=${retryNow}>Try now</button>
  </div>`;
}

connect();
const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
