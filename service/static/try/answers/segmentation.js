/** Masks over the picture with a legend; for a point cloud, the points in their labels' colours. */

import { labelledCloudPlot } from "../cloud.js";
import { labelColour, rgb } from "../colours.js";
import { decodedByBrowser, pngOf } from "../decode/raster.js";
import { drawing } from "../drawing.js";
import { plot } from "../plot.js";
import { set } from "../state.js";
import { picture } from "../views.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

const HALF = 128;
const OPACITY = 0.6;

export function segmentation(result, shown) {
  return result.answer.labels ? cloud(result, shown) : masks(result, shown);
}

function cloud(result, shown) {
  if (shown?.kind !== "cloud") return legend(result.answer.names.map((label, index) => ({ label, index })));
  // The same datum at every rendering, so that it is drawn once.
  result.datum ??= { ...shown, ...result.answer };
  return plot(result.datum, labelledCloudPlot, "Points in the colours of their labels", "cloud");
}

function masks(result, shown) {
  const { answer, head } = result;
  result.hidden ??= new Set();
  result.opacity ??= OPACITY;
  const regions = answer.map(({ label, score, mask }) => ({ label, score, mask, index: Math.max(0, head.labels.indexOf(label)) }));
  result.datum ??= { regions, hidden: result.hidden };
  const [canvas] = shown?.frames ?? [];
  const opacity = canvas ? result.opacity : 1;
  return html`<figure class="stack">
      ${canvas ? picture(canvas, "The input") : nothing}
      <canvas class="masks ${canvas?.width < 200 || !canvas ? "pixels" : ""}" style="opacity: ${opacity}" role="img"
        aria-label="Masks of ${regions.map(({ label }) => label).join(", ")}" ${drawing(result.datum, drawMasks)}></canvas>
    </figure>
    ${canvas ? slider(result) : nothing}
    ${legend(regions, result)}`;
}

async function paint(canvas, { regions, hidden }) {
  const pictures = await Promise.all(regions.map(({ mask }) => decodedByBrowser(pngOf(mask))));
  if (!pictures.length) return;
  canvas.width = pictures[0].width;
  canvas.height = pictures[0].height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  regions.forEach(({ label, index }, i) => {
    if (hidden.has(label)) return;
    const mask = pictures[i].getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const colour = [...rgb(labelColour(index)), 255];
    for (let at = 0; at < mask.length; at += 4) if (mask[at] >= HALF) image.data.set(colour, at);
  });
  context.putImageData(image, 0, 0);
  canvas.dataset.drawn = regions.length;
}

function drawMasks(canvas, datum) {
  paint(canvas, datum);
}

function slider(result) {
  const change = (event) => {
    result.opacity = event.target.valueAsNumber;
    set({});
  };
  return html`<label class="slider">Opacity
    <input type="range" min="0" max="1" step="0.05" .value=${String(result.opacity)} @input=${change}>
  </label>`;
}

function legend(regions, result) {
  const toggle = (label) => () => {
    if (!result.hidden.delete(label)) result.hidden.add(label);
    result.datum = { ...result.datum }; // a new datum is drawn anew
    set({});
  };
  return html`<ul class="legend">${regions.map(
    ({ label, score, index }) => html`<li><label>
      ${result ? html`<input type="checkbox" .checked=${!result.hidden.has(label)} @change=${toggle(label)}>` : nothing}
      <span class="swatch" style="background: ${labelColour(index)}"></span>${label}
      ${score === undefined ? nothing : html`<small>${Math.round(100 * score)} %</small>`}
    </label></li>`,
  )}</ul>`;
}
