/** Buttons that copy a text. */

import { html } from "./vendor/lit-html/lit-html.js";

const SHOWN_MILLISECONDS = 1500;

export function copyButton(text, name = "Copy") {
  return html`<button type="button" class="secondary outline copy" @click=${(event) => copy(text, name, event.currentTarget)}>${name}</button>`;
}

async function copy(text, name, button) {
  // Browsers allow the clipboard on localhost and over https only; elsewhere, select the lines.
  if (!navigator.clipboard) return getSelection().selectAllChildren(button.previousElementSibling);
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = name), SHOWN_MILLISECONDS);
}
