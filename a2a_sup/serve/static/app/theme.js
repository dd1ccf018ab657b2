// Runs before anything is painted, so that the chosen theme does not flash.
"use strict";
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("a2a-theme");
  } catch {
    // Storage may be forbidden; the system's theme is used then.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
