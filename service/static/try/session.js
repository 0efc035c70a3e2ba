/** The requests of this session, to open again or to compare with, and the link to the present one. */

import { forgetSession, reopen, showBeside } from "./actions.js";
import { clock } from "./compare.js";
import { copyButton } from "./copying.js";
import { state } from "./state.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";

/** The link that reproduces a request, to copy. */
export function linkView(fragment, input) {
  const link = new URL(fragment, document.baseURI.split("#")[0]).href;
  const own = fragment.includes("file=");
  return html`<p class="link"><a href=${fragment}>Link to this request</a> ${copyButton(link, "Copy link")}</p>
    ${own ? html`<p class="note">It names <code>${input.name}</code>, which stays on this computer: whoever opens it chooses that file again.</p>` : nothing}`;
}

export function sessionView() {
  if (!state.history.length) return nothing;
  return html`<section class="session" aria-labelledby="session-title">
    <h2 id="session-title">This session</h2>
    <ol>${state.history.map(entryView)}</ol>
    <p class="note">Kept in this tab only. <button type="button" class="secondary outline copy" @click=${forgetSession}>Forget</button></p>
  </section>`;
}

function entryView(entry) {
  const { route, name, label, version, notes, thumbnail, at, result, fragment } = entry;
  const open = (event) => {
    event.preventDefault();
    reopen(entry);
  };
  const compare = result && state.result && state.result !== result;
  return html`<li>
    <a class="entry" href=${fragment} @click=${open}>
      ${thumbnail ? html`<img src=${thumbnail} alt="" width="40" height="40">` : html`<span class="thumbnail" aria-hidden="true">${route[0]}</span>`}
      <span><strong>${label}</strong><br><small class="muted">${route}${version ? `, version ${version}` : nothing}, ${name}, ${clock(at)}</small>
      ${notes?.length ? html`<br><small>notes: ${notes.join(", ").replaceAll("_", " ")}</small>` : nothing}</span>
    </a>
    ${compare ? html`<button type="button" class="secondary outline copy" @click=${() => showBeside(entry)}>Beside the answer</button>` : nothing}
  </li>`;
}
