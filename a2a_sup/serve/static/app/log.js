// What a child prints, as it prints it. Lines are put into the document by hand, as text: a busy
// child prints thousands per second, and only the last ones are kept.
import { ApiError, followLog } from "./api.js";
import { html, useEffect, useRef, useState } from "./html.js";

const KEPT = 2000; // lines
const LENGTH = 4000; // characters shown of one
const AGAIN = 1500; // milliseconds between attempts
// Colours and cursor movements of terminals: ECMA-48's CSI sequences, and titles (OSC).
const ESCAPES = /\u001b\[[0-?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g;

const clean = (line) => line.replaceAll(ESCAPES, "").slice(0, LENGTH);

class Tail {
  constructor(element, onHeld) {
    this.element = element;
    this.onHeld = onHeld;
    this.waiting = [];
    this.isPaused = false;
    this.asked = false;
  }

  add(lines) {
    this.waiting.push(...lines);
    if (this.waiting.length > KEPT) this.waiting.splice(0, this.waiting.length - KEPT);
    this.draw();
  }

  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.isPaused) this.onHeld(this.waiting.length);
      else this.#put();
    });
  }

  #put() {
    const { element } = this;
    const isAtEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    const fragment = document.createDocumentFragment();
    for (const line of this.waiting) {
      const row = document.createElement("div");
      row.textContent = clean(line) || "\u200b";
      fragment.append(row);
    }
    this.waiting = [];
    element.append(fragment);
    while (element.childElementCount > KEPT) element.firstElementChild.remove();
    if (isAtEnd) element.scrollTop = element.scrollHeight;
    this.onHeld(0);
  }

  clear() {
    this.waiting = [];
    this.element.replaceChildren();
    this.onHeld(0);
  }

  pause(isPaused) {
    this.isPaused = isPaused;
    this.draw();
  }
}

const rest = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });

export function Log({ path, onToken }) {
  const ref = useRef(null);
  const tail = useRef(null);
  const [isPaused, setPaused] = useState(false);
  const [wraps, setWraps] = useState(true);
  const [held, setHeld] = useState(0);
  const [trouble, setTrouble] = useState(null);

  useEffect(() => {
    const end = new AbortController();
    tail.current = new Tail(ref.current, setHeld);
    follow(end.signal);
    return () => end.abort();

    async function follow(signal) {
      while (!signal.aborted) {
        let isFirst = true;
        try {
          await followLog(path, 500, signal, (lines) => {
            // A new stream begins with the last lines again: they take the place of the old ones.
            if (isFirst) tail.current.clear();
            isFirst = false;
            setTrouble(null);
            tail.current.add(lines);
          });
        } catch (error) {
          if (signal.aborted) return;
          setTrouble(error instanceof ApiError ? error : new ApiError(0, "No answer from the server."));
        }
        await rest(AGAIN, signal);
      }
    }
  }, [path]);

  const pause = () => {
    tail.current.pause(!isPaused);
    setPaused(!isPaused);
  };
  return html`<div class="log-view" role="tabpanel" aria-label="Log">
    <div class="bar">
      <button aria-pressed=${String(isPaused)} onClick=${pause}>${isPaused ? "Resume" : "Pause"}</button>
      <button aria-pressed=${String(wraps)} onClick=${() => setWraps(!wraps)}>Wrap</button>
      <button onClick=${() => tail.current.clear()}>Clear</button>
      <span class="muted grow">${isPaused && held > 0 ? `${held} new lines are waiting` : ""}</span>
    </div>
    ${trouble && html`<p class="trouble" role="status">${trouble.message}
      ${trouble.status === 401 && html` <button onClick=${onToken}>Enter a token</button>`}</p>`}
    <div class=${`log ${wraps ? "wraps" : ""}`} ref=${ref} tabindex="0" role="log" aria-live="off" aria-label=${`Output of ${path}`}></div>
  </div>`;
}
