/** Where the time went: the stages of the service, and everything else. */

import { html } from "./vendor/lit-html/lit-html.js";

const COLOURS = {
  decode: "#17a2b8",
  preprocess: "#2fa36b",
  queue: "#d9a514",
  compute: "#4e79d9",
  postprocess: "#b04fc4",
};
const REST = "#8a8f99";

export function timing({ timings, milliseconds, model, version, requestId }) {
  const known = timings.reduce((sum, { milliseconds: part }) => sum + part, 0);
  const parts = [...timings, { stage: "transfer and other", milliseconds: Math.max(0, milliseconds - known) }];
  const total = parts.reduce((sum, part) => sum + part.milliseconds, 0);
  const colour = (stage) => COLOURS[stage] ?? REST;
  return html`<div class="stages" role="img" aria-label=${parts.map(({ stage, milliseconds: part }) => `${stage} ${part.toFixed(1)} ms`).join(", ")}>
      ${parts.map(({ stage, milliseconds: part }) => html`<span style="width: ${(100 * part) / total}%; background: ${colour(stage)}"></span>`)}
    </div>
    <ul class="legend">${parts.map(
      ({ stage, milliseconds: part }) => html`<li><span class="swatch" style="background: ${colour(stage)}"></span>${stage} <strong>${part.toFixed(1)}</strong> ms</li>`,
    )}</ul>
    <p class="note">${total.toFixed(0)} ms measured in this browser · ${model}, version ${version} · request <code>${requestId}</code></p>`;
}
