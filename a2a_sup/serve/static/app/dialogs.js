// Questions that wait for an answer, and short notes about what was done.
import { html, useEffect, useRef } from "./html.js";

const QUESTIONS = {
  start: ["Start", "It is started with a fresh budget of restarts."],
  stop: ["Stop", "It stays down until it is started again."],
  restart: ["Restart", "It is stopped first, then started with a fresh budget of restarts."],
};

function Modal({ onClose, label, children }) {
  const ref = useRef(null);
  useEffect(() => ref.current.showModal(), []);
  return html`<dialog ref=${ref} aria-label=${label} onClose=${onClose} onCancel=${onClose}>${children}</dialog>`;
}

export function Confirm({ action, path, onYes, onClose }) {
  const [verb, consequence] = QUESTIONS[action];
  const yes = (event) => {
    event.preventDefault();
    onYes();
  };
  return html`<${Modal} label=${`${verb} ${path}`} onClose=${onClose}><form onSubmit=${yes}>
    <h2>${verb} <q>${path}</q>?</h2>
    <p>${consequence}</p>
    <div class="buttons"><button type="button" onClick=${onClose}>Cancel</button><button class="primary" autofocus>${verb}</button></div>
  </form><//>`;
}

export function TokenDialog({ why, hasToken, onToken, onClose }) {
  const ref = useRef(null);
  const take = (event) => {
    event.preventDefault();
    onToken(ref.current.value.trim());
  };
  return html`<${Modal} label="Token" onClose=${onClose}><form onSubmit=${take}>
    <h2>Token</h2>
    ${why && html`<p class="trouble">${why}</p>`}
    <p>To start, stop and restart children, enter the token that the supervisor was given. It is kept in this tab only.</p>
    <input ref=${ref} type="password" autocomplete="off" spellcheck="false" aria-label="Token" autofocus />
    <div class="buttons">
      ${hasToken && html`<button type="button" onClick=${() => onToken("")}>Forget it</button>`}
      <button type="button" onClick=${onClose}>Cancel</button><button class="primary">Use this token</button>
    </div>
  </form><//>`;
}

/** Notes that go away by themselves; those of trouble stay until they are dismissed. */
export const Notes = ({ notes, onDismiss }) => html`<div class="notes" role="status">
  ${notes.map(
    (note) => html`<div key=${note.id} class=${`note ${note.tone}`}><span>${note.text}</span>
      <button class="quiet" onClick=${() => onDismiss(note.id)} aria-label="Dismiss">Dismiss</button></div>`,
  )}
</div>`;
