/**
 * Views of explanations: what carried an answer, drawn over the input. Each takes an explanation,
 * the preview of the input and the input; the list of the strongest segments is there for all.
 */

import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { columns } from "./columns.js";
import { frames } from "./frames.js";
import { atoms } from "./atoms.js";
import { pictures } from "./pictures.js";
import { points } from "./points.js";
import { colour, percent } from "./scale.js";
import { spans } from "./spans.js";
import { place, words } from "./words.js";

const VIEWS = {
  image: pictures,
  xray: pictures,
  infrared: pictures,
  video: frames,
  depth: frames,
  audio: spans,
  imu: spans,
  timeseries: spans,
  hyperspectral: spans,
  text: words,
  tabular: columns,
  graph: atoms,
  pointcloud: points,
};

const STRONGEST = 5;

export function explanationsView(result, shown) {
  const { explanations = [] } = result;
  if (explanations.length === 1) return explanation(explanations[0], result, shown);
  // Of several rows or labels, one at a time.
  return explanations.map((one, i) => html`<details class="explained" ?open=${i === 0}>
    <summary>${typeof one.row === "number" ? `Row ${one.row + 1}: ` : nothing}${one.label}</summary>
    ${explanation(one, result, shown)}</details>`);
}

function explanation(one, { head, input }, shown) {
  return html`<section class="explanation" aria-label="Explanation of ${one.label}">
    <h3>What carried <em>${one.label}</em></h3>
    ${VIEWS[head.modality]?.(one, shown, input) ?? nothing}
    ${legend(one)}
    ${strongest(one, input)}
    <p class="note">Each of ${one.segments.length} ${one.unit} was replaced by ${one.baseline}; ${one.evaluations} more evaluations.</p>
  </section>`;
}

function legend({ label, measure }) {
  return html`<ul class="legend" title=${measure}>
    <li><span class="swatch" style="background: ${colour(1)}"></span>speaks for ${label}</li>
    <li><span class="swatch" style="background: ${colour(-1)}"></span>speaks against it</li>
  </ul>`;
}

function strongest({ segments, measure }, input) {
  const order = [...segments].sort((a, b) => Math.abs(b.value) - Math.abs(a.value)).slice(0, STRONGEST);
  return html`<details class="strongest"><summary>The strongest</summary>
    <ol>${order.map((segment) => html`<li>${place(segment, input)} <span class="score">${percent(segment.value, measure)}</span></li>`)}</ol>
    <p class="note">${measure}</p></details>`;
}
