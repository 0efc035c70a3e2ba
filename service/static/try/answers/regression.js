/** Values with their units; maps of values as pictures. */

import { html } from "../vendor/lit-html/lit-html.js";
import { numberMaps } from "./number_maps.js";

export function regression(result) {
  const { answer } = result;
  result.maps ??= new Map();
  const rows = answer.every(Array.isArray) ? answer : [answer];
  return rows.map((row) => (row.some(({ map }) => map) ? numberMaps(row, result.maps) : values(row)));
}

function values(row) {
  return html`<dl class="values">${row.map(
    ({ label, value, unit }) => html`<div>
      <dt>${label}</dt>
      <dd><strong>${Number(value.toPrecision(4))}</strong> <span class="unit">${unit}</span></dd>
      ${/^log10\(/.test(unit) ? html`<dd class="note">equals ${(10 ** value).toPrecision(3)} ${unit.slice(6, -1)}</dd>` : ""}
    </div>`,
  )}</dl>`;
}
