/** An answer with the notes above it and the explanations below. */

import { answerView } from "./answers/index.js";
import { explanationsView } from "./explanations/index.js";
import { notesView } from "./notes.js";
import { windowsView } from "./parts.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { keyed } from "./vendor/lit-html/directives/keyed.js";

export function answerBody(result, shown) {
  return keyed(result, html`<div class="answer" data-family=${result.head.family}>
    ${notesView(result.notes)}${answerView(result, shown)}${windowsView(result.windows)}${explanationsView(result, shown)}</div>`);
}

export function problemView(problem) {
  return html`<article class="problem" role="alert">
    <h3>${problem.title || "No answer"}${problem.status ? html` <small>${problem.status}</small>` : nothing}</h3>
    <p>${problem.message}</p>
    ${problem.field ? html`<p>Field: <code>${problem.field}</code></p>` : nothing}
    ${problem.known?.length ? html`<p>Available: ${problem.known.map((name) => html`<code>${name}</code> `)}</p>` : nothing}
    ${notesView(problem.notes)}
    ${problem.retryAfterSeconds ? html`<p>Try again in ${problem.retryAfterSeconds} s.</p>` : nothing}
    ${problem.requestId ? html`<p class="note">request <code>${problem.requestId}</code></p>` : nothing}
  </article>`;
}
