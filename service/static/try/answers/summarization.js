/** Texts. */

import { html } from "../vendor/lit-html/lit-html.js";

export function summarization({ answer }) {
  return answer.map(({ summary_text: text }) => html`<blockquote>${text}</blockquote>`);
}
