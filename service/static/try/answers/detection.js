/** Boxes over the picture, and how many of each label. */

import { labelColour } from "../colours.js";
import { set } from "../state.js";
import { picture } from "../views.js";
import { html, nothing, svg } from "../vendor/lit-html/lit-html.js";

// More captions than this would hide the picture; tooltips and the table below have the rest.
const MOST_CAPTIONS = 12;

export function detection(result, shown) {
  const { head } = result;
  result.least ??= 0;
  const answer = result.answer.filter(({ score }) => score >= result.least);
  const [canvas] = shown?.frames ?? [];
  const [width, height] = canvas ? [canvas.width, canvas.height] : extent(answer);
  const colour = (label) => labelColour(Math.max(0, head.labels.indexOf(label)));
  const text = Math.max(width, height) / 38;
  return html`<figure class="stack">
      ${canvas ? picture(canvas, "The input") : nothing}
      <svg class="boxes" viewBox="0 0 ${width} ${height}" role="img" aria-label="${answer.length} objects found">
        ${answer.map((found) => box(found, colour(found.label), text, answer.length <= MOST_CAPTIONS))}
      </svg>
    </figure>
    ${slider(result)}
    ${legend(answer, head, colour)}
    <details><summary>${answer.length} boxes</summary>${table(answer)}</details>`;
}

function box({ label, score, box: { xmin, ymin, xmax, ymax } }, colour, text, captioned) {
  const caption = `${label} ${Math.round(100 * score)} %`;
  return svg`<g style="--label: ${colour}">
    <title>${caption}</title>
    <rect x=${xmin} y=${ymin} width=${xmax - xmin} height=${ymax - ymin} vector-effect="non-scaling-stroke"></rect>
    ${captioned ? svg`<text x=${xmin + text * 0.2} y=${Math.max(ymin - text * 0.25, text)} font-size=${text}>${caption}</text>` : nothing}
  </g>`;
}

function slider(result) {
  const change = (event) => {
    result.least = event.target.valueAsNumber;
    set({});
  };
  return html`<label class="slider">Minimum score ${Math.round(100 * result.least)} %
    <input type="range" min="0" max="1" step="0.01" .value=${String(result.least)} @input=${change}>
  </label>`;
}

function legend(answer, head, colour) {
  const counts = head.labels.map((label) => [label, answer.filter((found) => found.label === label).length]);
  return html`<ul class="legend">${counts.filter(([, count]) => count).map(
    ([label, count]) => html`<li><span class="swatch" style="background: ${colour(label)}"></span>${label} <strong>${count}</strong></li>`,
  )}</ul>`;
}

function table(answer) {
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Boxes"><table>
    <thead><tr>${["label", "score", "left", "top", "right", "bottom"].map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${answer.map(({ label, score, box: { xmin, ymin, xmax, ymax } }) => html`<tr><td>${label}</td><td>${score.toFixed(3)}</td>
      ${[xmin, ymin, xmax, ymax].map((edge) => html`<td>${Math.round(edge)}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

function extent(answer) {
  return ["xmax", "ymax"].map((edge) => Math.max(1, ...answer.map(({ box }) => box[edge])));
}
