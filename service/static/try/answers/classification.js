/** A bar per label; for several rows, the best label of each. */

import { html } from "../vendor/lit-html/lit-html.js";

export function classification({ answer }) {
  const rows = rowsOf(answer);
  return rows.length === 1 ? bars(rows[0]) : table(rows);
}

/** One list of {label, score} per row, best first: from any form that an answer may have. */
export function rowsOf(answer) {
  if (answer.every((item) => Array.isArray(item))) return answer;
  if (answer.every((item) => typeof item === "object")) return [answer];
  return answer.map((label) => [{ label, score: NaN }]);
}

function bars(row) {
  return html`<ol class="bars">${row.map(
    ({ label, score }, i) => html`<li class=${i ? "" : "best"}>
      <span class="label">${label}</span>${bar(score)}<span class="score">${percent(score)}</span>
    </li>`,
  )}</ol>`;
}

export function bar(score) {
  return html`<span class="bar" aria-hidden="true"><span style="width: ${(100 * score).toFixed(1)}%"></span></span>`;
}

export function percent(score) {
  return Number.isNaN(score) ? "" : `${(100 * score).toFixed(score < 0.01 ? 2 : 1)} %`;
}

function table(rows) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="An answer per row">
    <table class="rows">
      <thead><tr><th scope="col">row</th><th scope="col">label</th><th scope="col" colspan="2">score</th></tr></thead>
      <tbody>${rows.map(
        ([best], i) => html`<tr>
          <th scope="row">${i + 1}</th><td><strong>${best.label}</strong></td>
          <td class="wide">${bar(best.score)}</td><td class="score">${percent(best.score)}</td>
        </tr>`,
      )}</tbody>
    </table>
  </div>`;
}
