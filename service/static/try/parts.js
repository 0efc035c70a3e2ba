/** Parts of an answer that is still computed: texts as they grow, recordings window by window. */

import { bar, percent, rowsOf } from "./answers/classification.js";
import { summarization } from "./answers/summarization.js";
import { inputOf } from "./inputs/index.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";

/** Whether a head answers in parts: it writes, or takes recordings that may have several windows. */
export function givesParts(head) {
  return head.family === "summarization" || inputOf(head).inWindows === true;
}

/** The parts after one more: of a text the last one says all, of windows each says its own. */
export function withPart(parts, part) {
  if (part.name === "token") return [part];
  // A head that was replaced meanwhile begins again with the first.
  return [...parts.slice(0, part.index), part];
}

/** The parts that have come so far. */
export function partsView(parts) {
  const last = parts.at(-1);
  const content = last.name === "token" ? summarization({ answer: [last.answer].flat() }) : windows(parts, last);
  // Not read aloud as it grows: the answer is.
  return html`<div class="partial" data-parts=${last.index + 1} aria-live="off" aria-busy="true">${content}</div>`;
}

/** The windows of a recording that is answered, below the answer to the whole. */
export function windowsView(parts) {
  if (!parts?.length || parts[0].name !== "window" || parts[0].count < 2 || !bestOf(parts[0])) return nothing;
  return html`<details class="windows"><summary>Window by window</summary>${table(parts)}</details>`;
}

function windows(parts, { index, count }) {
  return html`<p>Window ${index + 1} of ${count} <progress max=${count} value=${index + 1} aria-label="Windows that are answered"></progress></p>
    ${bestOf(parts[0]) ? table(parts) : nothing}`;
}

function table(parts) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="An answer per window">
    <table class="rows">
      <thead><tr><th scope="col">window</th><th scope="col">label</th><th scope="col" colspan="2">score</th></tr></thead>
      <tbody>${parts.map((part) => {
        const { label, score } = bestOf(part);
        return html`<tr><th scope="row">${part.index + 1}</th><td><strong>${label}</strong></td>
          <td class="wide">${bar(score)}</td><td class="score">${percent(score)}</td></tr>`;
      })}</tbody>
    </table>
  </div>`;
}

/** The best {label, score} of a window; undefined if it has another kind of answer. */
function bestOf({ answer }) {
  if (!Array.isArray(answer)) return undefined;
  const best = rowsOf(answer)[0]?.[0];
  return best?.label !== undefined && best.score !== undefined ? best : undefined;
}
