/** A bar for each column of a row. */

import { html } from "../vendor/lit-html/lit-html.js";
import { colour, largest, percent } from "./scale.js";
import { place } from "./words.js";

const MOST = 16;

export function columns({ segments, measure }, _, input) {
  const most = largest(segments);
  const order = [...segments].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, MOST);
  return html`<ul class="bars sided">${order.map((segment) => html`<li>
    <span class="label">${place(segment, input)}</span>
    <span class="bar" aria-hidden="true">${side(segment.value / most)}</span>
    <span class="score">${percent(segment.value, measure)}</span>
  </li>`)}</ul>`;
}

/** A bar from the middle, to the right for what speaks for the answer. */
function side(share) {
  const width = (50 * Math.abs(share)).toFixed(1);
  const left = share < 0 ? (50 - width).toFixed(1) : "50";
  return html`<span style="margin-left: ${left}%; width: ${width}%; background: ${colour(Math.sign(share))}"></span>`;
}
