/** Values with their units. */

import { html } from "../vendor/lit-html/lit-html.js";

export function regression({ answer }) {
  const rows = answer.every(Array.isArray) ? answer : [answer];
  return rows.map(
    (row) => html`<dl class="values">${row.map(
      ({ label, value, unit }) => html`<div>
        <dt>${label}</dt>
        <dd><strong>${Number(value.toPrecision(4))}</strong> <span class="unit">${unit}</span></dd>
        ${/^log10\(/.test(unit) ? html`<dd class="note">equals ${(10 ** value).toPrecision(3)} ${unit.slice(6, -1)}</dd>` : ""}
      </div>`,
    )}</dl>`,
  );
}
