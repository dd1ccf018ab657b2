// The tree: only the rows in sight are in the document, so thousands cost no more than forty.
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from "./html.js";
import { Glyph, HealthMark, StateMark } from "./icons.js";
import { parentOf, ROOT } from "./model.js";
import { Sparkline, Tags, TimeCell, isBenign, remarkOf } from "./parts.js";

const BEYOND = 5; // rows kept above and below those in sight
const COLUMNS = ["Name", "State", "Health", "Restarts", "Uptime", "Pid", "Why"];

/** The height of a row, as the style sheet has it for this width. */
const rowHeight = (element) =>
  Number.parseFloat(getComputedStyle(element).getPropertyValue("--row")) || 34;

function useViewport(ref) {
  const [port, setPort] = useState({ top: 0, height: 600, row: 34 });
  useLayoutEffect(() => {
    const element = ref.current;
    let asked = false;
    const measure = () =>
      setPort({ top: element.scrollTop, height: element.clientHeight, row: rowHeight(element) });
    const scrolled = () => {
      asked = false;
      setPort((port) => ({ ...port, top: element.scrollTop }));
    };
    const soon = () => {
      if (!asked) requestAnimationFrame(scrolled);
      asked = true;
    };
    const watch = new ResizeObserver(measure);
    watch.observe(element);
    element.addEventListener("scroll", soon, { passive: true });
    measure();
    return () => {
      watch.disconnect();
      element.removeEventListener("scroll", soon);
    };
  }, []);
  return port;
}

export function TreeGrid({ tree, rows, cursor, selected, onCursor, onOpen, onToggle }) {
  const ref = useRef(null);
  const { top, height, row: size } = useViewport(ref);
  const at = rows.findIndex((row) => row.path === cursor);

  // The cursor is brought into sight when it moves, not when the tree changes around it.
  useEffect(() => {
    const element = ref.current;
    const place = rows.findIndex((row) => row.path === cursor);
    if (place < 0) return;
    const head = 30;
    const y = place * size;
    if (y < element.scrollTop) element.scrollTop = y;
    else if (y + size + head > element.scrollTop + element.clientHeight) {
      element.scrollTop = y + size + head - element.clientHeight;
    }
  }, [cursor]);

  const go = (index) => {
    if (rows.length) onCursor(rows[Math.min(rows.length - 1, Math.max(0, index))].path);
  };
  const page = Math.max(1, Math.floor(height / size) - 2);
  const keys = {
    ArrowDown: () => go(at + 1),
    ArrowUp: () => go(at < 0 ? 0 : at - 1),
    Home: () => go(0),
    End: () => go(rows.length - 1),
    PageDown: () => go(at + page),
    PageUp: () => go(at - page),
    ArrowRight: () => {
      if (rows[at]?.isOpen === false) onToggle(cursor);
      else if (rows[at]?.isOpen) go(at + 1);
    },
    ArrowLeft: () => {
      if (rows[at]?.isOpen) onToggle(cursor);
      else if (at >= 0 && parentOf(cursor) !== ROOT) onCursor(parentOf(cursor));
    },
    Enter: () => at >= 0 && onOpen(cursor),
    " ": () => rows[at] && rows[at].isOpen !== null && onToggle(cursor),
  };
  const press = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    keys[event.key]();
  };

  const first = Math.max(0, Math.floor(top / size) - BEYOND);
  const last = Math.min(rows.length, Math.ceil((top + height) / size) + BEYOND);
  const inSight = rows.slice(first, last);
  // What scrolls out of sight is used again for what scrolls in: changing text is cheaper than
  // making elements.
  const inRange = (place) => place >= first && place < last;
  const slots = Math.ceil(height / size) + 2 * BEYOND + 1;
  // The row of the cursor is always there: the screen reader is told its id.
  if (at >= 0 && !inRange(at)) inSight.push(rows[at]);
  const places = new Map(inSight.map((row, i) => [row, first + i]));
  if (at >= 0) places.set(rows[at], at);

  return html`<div class="grid" ref=${ref} role="treegrid" tabindex="0" aria-label="Children"
      aria-rowcount=${rows.length + 1} aria-colcount=${COLUMNS.length}
      aria-activedescendant=${at >= 0 ? `row-${at}` : undefined} onKeyDown=${press}>
    <div class="row head" role="row" aria-rowindex="1">
      ${COLUMNS.map((name, i) => html`<span key=${name} class=${`c${i}`} role="columnheader">${name}</span>`)}
    </div>
    <div class="body" role="rowgroup" style=${{ height: `${rows.length * size}px` }}>
      ${inSight.map(
        (row) => html`<${Row} key=${inRange(places.get(row)) ? places.get(row) % slots : "cursor"} row=${row} place=${places.get(row)} size=${size} tree=${tree}
          isCursor=${row.path === cursor} isSelected=${row.path === selected}
          onOpen=${onOpen} onToggle=${onToggle} />`,
      )}
    </div>
  </div>`;
}

function Row(props) {
  const { row, place, size, tree, isCursor, isSelected } = props;
  const { child, depth, isOpen, problems, isContext, position, siblings } = row;
  const call = useRef(null);
  call.current = props;
  // The same element as before is not looked at again: a scroll costs what comes into sight.
  return useMemo(
    () => rowOf(row, place, size, tree, isCursor, isSelected, call),
    [child, depth, isOpen, problems, isContext, position, siblings, place, size, tree, isCursor, isSelected],
  );
}

function rowOf(row, place, size, tree, isCursor, isSelected, call) {
  const { child, depth, isOpen, problems } = row;
  const remark = remarkOf(child);
  const reason = child.last_reason;
  const tone = child.state === "running" || !reason || isBenign(reason) ? "calm" : "bad";
  const classes = [
    "row",
    `a-${child.state === "running" && child.healthy === false ? "unhealthy" : child.state}`,
    isCursor && "cursor",
    isSelected && "selected",
    row.isContext && "context",
  ];
  const toggle = (event) => {
    event.stopPropagation();
    call.current.onToggle(row.path);
  };
  return html`<div class=${classes.filter(Boolean).join(" ")} role="row" id=${`row-${place}`}
      style=${{ transform: `translateY(${place * size}px)`, "--depth": depth - 1 }}
      aria-rowindex=${place + 2} aria-level=${depth} aria-posinset=${row.position} aria-setsize=${row.siblings}
      aria-expanded=${isOpen === null ? undefined : String(isOpen)} aria-selected=${isSelected ? "true" : "false"}
      onClick=${() => call.current.onOpen(row.path)} data-path=${row.path}>
    <span class="c0" role="gridcell">
      ${isOpen === null
        ? html`<span class="twisty"></span>`
        : html`<span class="twisty" onClick=${toggle}><${Glyph} name=${isOpen ? "open" : "closed"} /></span>`}
      <span class="name" title=${child.path}>${child.name}</span>
      ${child.supervisor && html`<span class="kind">${child.supervisor.strategy.replaceAll("_", " ")}</span>`}
      ${child.kind === "mcp" && !child.tags.includes("mcp") && html`<span class="kind">MCP</span>`}
      ${isOpen === false && problems > 0 && html`<span class="badge">${problems} below</span>`}
      <span class="tags"><${Tags} tags=${child.tags} /></span>
    </span>
    <span class="c1" role="gridcell"><${StateMark} state=${child.state} /></span>
    <span class="c2" role="gridcell"><${HealthMark} child=${child} /></span>
    <span class="c3" role="gridcell">
      <span class=${`num ${child.restarts ? "" : "muted"}`}>${child.restarts}</span>
      ${(child.restarts > 0 || tree.restarts.has(child.path)) && html`<${Sparkline} tree=${tree} path=${child.path} />`}
    </span>
    <span class="c4" role="gridcell"><${TimeCell} child=${child} /></span>
    <span class="c5 num" role="gridcell">${child.state === "running" ? child.details.pid : ""}</span>
    <span class=${`c6 ${tone}`} role="gridcell" title=${remark}>${remark}</span>
  </div>`;
}
