// The WebSocket of the dashboard: opened, watched, and opened again by itself.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 10_000;
const SILENCE = 12_000; // the server speaks every 5 s
const DEADLINE = 5_000; // milliseconds for a connection to open

/** Where the dashboard is, from the page's own header; null: there is none. */
export function dashboardUrl(content, page = location) {
  if (content === "") return null;
  if (!/^\d+$/.test(content)) return content;
  const scheme = page.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${page.hostname}:${content}/`;
}

// The only place in a handshake where a page can put a token, beside the URL, which is logged.
const protocols = (token) =>
  token && /^[\w!#$%&'*+.^`|~-]+$/.test(token) ? ["a2a-sup", `token.${token}`] : [];

export class Connection {
  #socket = null;
  #wait = FIRST_WAIT;
  #timer = null;
  #silence = null;

  /**
   * `on.frame(type, data, timestamp)` for each message, `on.open()` when there is a connection,
   * `on.lost(retryAt)` whenever there is none: the browser's time of the next attempt, in ms.
   * `token()` is asked for the token, or null, for each attempt.
   */
  constructor(url, on, token) {
    this.url = url;
    this.on = on;
    this.token = token;
  }

  open() {
    clearTimeout(this.#timer);
    this.#timer = null;
    const socket = new WebSocket(this.url, protocols(this.token()));
    this.#socket = socket;
    const ifCurrent = (act) => (event) => {
      if (this.#socket === socket) act(event);
    };
    const deadline = setTimeout(
      ifCurrent(() => this.#lose()),
      DEADLINE,
    );
    socket.addEventListener(
      "open",
      ifCurrent(() => {
        clearTimeout(deadline);
        this.#hear();
        this.on.open();
      }),
    );
    socket.addEventListener(
      "message",
      ifCurrent((event) => {
        this.#wait = FIRST_WAIT;
        this.#hear();
        this.#take(event.data);
      }),
    );
    socket.addEventListener(
      "close",
      ifCurrent(() => {
        clearTimeout(deadline);
        this.#lose();
      }),
    );
  }

  ask(type) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ type }));
  }

  /** Tries at once, if it is waiting for its next attempt. */
  retry() {
    if (this.#timer !== null) this.open();
  }

  #take(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    this.on.frame(frame.type, frame.data, frame.timestamp);
  }

  // A peer that is gone without a word leaves an open connection: silence is a loss, too.
  #hear() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lose(), SILENCE);
  }

  #lose() {
    clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    const wait = this.#wait * (0.8 + Math.random() * 0.4);
    this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT);
    this.#timer = setTimeout(() => this.open(), wait);
    this.on.lost(Date.now() + wait);
  }
}
