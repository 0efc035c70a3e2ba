/** What the service guessed, ignored or cut of an input, and what it takes the input's source for. */

import { html, nothing } from "./vendor/lit-html/lit-html.js";

const VALUE = String.raw`(?:(\d+)|(%?)"((?:\\.|[^"\\])*)")`;
const MEMBER = new RegExp(String.raw`([a-z_]+)((?:;[a-z]+=${VALUE})*)`, "g");
const PARAMETER = new RegExp(String.raw`;([a-z]+)=${VALUE}`, "g");

/** X-Notes, a list of RFC 9651: 'cut;count=3;text="…"' -> [{code, count, text, field}] */
export function inputNotes(header) {
  return [...header.matchAll(MEMBER)].map(([, code, parameters]) => ({
    code,
    ...Object.fromEntries([...parameters.matchAll(PARAMETER)].map(parameter)),
  }));
}

function parameter([, key, number, display, text]) {
  if (number !== undefined) return [key, Number(number)];
  return [key, display ? decodeURIComponent(text) : text.replaceAll(/\\(.)/g, "$1")];
}

/** The notes on an answer, or on a request that was refused because of them. */
export function notesView(notes) {
  if (!notes?.length) return nothing;
  return html`<ul class="notes" aria-label="Notes on the input">${notes.map(({ code, field, count, text }) => html`<li>
    <strong>${code.replaceAll("_", " ")}</strong>${count > 1 ? html` × ${count.toLocaleString("en")}` : nothing}
    ${field ? html` <code>${field}</code>` : nothing} ${text}</li>`)}</ul>`;
}

/** What a head takes the source of its inputs for: units, axes, rates. */
export function sourcesView({ inputs, source_options: options }) {
  const sources = inputs.map(({ source }) => source).filter(Boolean);
  if (!sources.length) return nothing;
  const lines = [...new Set(sources.map(sentence))];
  const names = Object.keys(options ?? {});
  return html`<details class="expects"><summary>What the input is taken for</summary>
    <ul>${lines.map((line) => html`<li>${line}</li>`)}</ul>
    ${names.length ? html`<p>Parameters that state something else: ${names.map((name) => html`<code>${name}</code> `)}</p>` : nothing}
  </details>`;
}

function sentence({ quantity, ...details }) {
  return [quantity, ...Object.entries(details).map(([name, text]) => `${name.replaceAll("_", " ")}: ${text}`)].join("; ");
}
