/** A heat map over a picture. */

import { picture } from "../views.js";
import { html, nothing, svg } from "../vendor/lit-html/lit-html.js";
import { colour, largest, percent } from "./scale.js";

export function pictures({ segments, extent, measure }, shown) {
  const [canvas] = shown?.frames ?? [];
  return html`<figure class="stack ${shown?.inverted ? "inverted" : ""}">
    ${canvas ? picture(canvas, "The input") : nothing}
    ${heat(segments, extent, measure, largest(segments))}
  </figure>`;
}

/** Boxes in the pixels of the input, coloured by their values. */
export function heat(segments, { width, height }, measure, most) {
  return svg`<svg class="heat" viewBox="0 0 ${width} ${height}" role="img" aria-label="Heat map of ${segments.length} cells">
    ${segments.map(({ box: { xmin, ymin, xmax, ymax }, value }) => svg`<rect x=${xmin} y=${ymin} width=${xmax - xmin} height=${ymax - ymin}
      fill=${colour(value / most)}><title>${percent(value, measure)}</title></rect>`)}
  </svg>`;
}
