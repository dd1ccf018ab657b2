// Time as the server tells it. Snapshots count seconds on a clock of their own; `wall` turns them
// into seconds since 1970, and `now` is the same on the server's side, whatever this browser's
// clock says. While the connection is lost, time stands still: what is shown is how it was.
import { useEffect, useState } from "./html.js";

let offset = 0;
let skew = null;
let frozenAt = null;

const browserNow = () => Date.now() / 1000;

/** The server said what time it is: `wallTime` in seconds since 1970, `time` on its own clock. */
export function heard(wallTime, time) {
  const next = wallTime - browserNow();
  // A frame that was late makes the server look behind: believe the earliest, unless far off.
  if (skew === null || next > skew || skew - next > 2) skew = next;
  if (time !== undefined) offset = wallTime - time;
}

export const now = () => frozenAt ?? browserNow() + (skew ?? 0);
export const wall = (time) => time + offset;

export function freeze() {
  frozenAt ??= now();
}

export function thaw() {
  frozenAt = null;
}

const tickers = new Map();

function tick(period) {
  if (document.hidden) return;
  for (const callback of tickers.get(period).callbacks) callback();
}

/** Renders the component again every `period` milliseconds; returns the server's time. */
export function useNow(period) {
  const [, again] = useState(0);
  useEffect(() => {
    let ticker = tickers.get(period);
    if (ticker === undefined) {
      ticker = { callbacks: new Set() };
      tickers.set(period, ticker);
      ticker.timer = setInterval(tick, period, period);
    }
    const callback = () => again((n) => n + 1);
    ticker.callbacks.add(callback);
    return () => {
      ticker.callbacks.delete(callback);
      if (ticker.callbacks.size === 0) {
        clearInterval(ticker.timer);
        tickers.delete(period);
      }
    };
  }, [period]);
  return now();
}
