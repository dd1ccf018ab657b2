// The agents of the registry: servers that are supervised, and those that were deployed.
import { html } from "./html.js";
import { Tags } from "./parts.js";
import { useStore } from "./store.js";

export function Agents({ onGo }) {
  const { agents, tree } = useStore("agents", "tree");
  if (!agents.length) return html`<p class="empty muted" role="tabpanel" aria-label="Agents">No agents are registered.</p>`;
  return html`<div class="scroll" role="tabpanel" aria-label="Agents" tabindex="0"><table class="agents">
    <thead><tr><th>Agent</th><th>Category</th><th>Can</th><th>State</th></tr></thead>
    <tbody>${agents.map(
      (agent) => html`<tr key=${agent.id} class=${agent.enabled ? "" : "off"}>
        <td>${tree.children.has(agent.id)
          ? html`<button class="link" onClick=${() => onGo(agent.id)}>${agent.name}</button>`
          : agent.name} <span class="muted">${agent.version}</span><div><${Tags} tags=${agent.tags ?? []} /></div></td>
        <td>${agent.category ?? ""}</td>
        <td title=${namesOf(agent).join(", ")}>${cut(namesOf(agent))}</td>
        <td>${agent.enabled ? "enabled" : "disabled"}</td>
      </tr>`,
    )}</tbody>
  </table></div>`;
}

const namesOf = (agent) => (agent.capabilities ?? []).map((capability) => capability.name);

function cut(names) {
  const first = names.slice(0, 3).join(", ");
  return names.length > 3 ? `${first} and ${names.length - 3} more` : first;
}
