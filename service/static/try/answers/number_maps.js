/** A map of numbers in colours, with its scale; the pointer reads the value of a pixel. */

import { mapped } from "../colours.js";
import { decodePng16 } from "../decode/png16.js";
import { pngOf } from "../decode/raster.js";
import { drawing } from "../drawing.js";
import { set } from "../state.js";
import { html } from "../vendor/lit-html/lit-html.js";

const COLOURS = "viridis";
const SHADES = 256;
const LEVELS = 2 ** 16 - 1;
const DIGITS = 4;

/** The maps of one input, each with what is known of it besides: `maps` lasts as long as the answer. */
export function numberMaps(targets, maps) {
  return targets.map((target) => {
    if (!maps.has(target)) maps.set(target, { target });
    return numberMap(maps.get(target));
  });
}

function numberMap(datum) {
  const { label, unit, minimum, maximum, mean } = datum.target;
  const point = (event) => {
    datum.pointed = pixelAt(event, datum.decoded);
    set({});
  };
  return html`<figure class="number-map">
    <figcaption><strong>${label}</strong>, mean ${rounded(mean)} ${unit}</figcaption>
    <canvas class="values-map" role="img" aria-label="Map of ${label} from ${rounded(minimum)} to ${rounded(maximum)} ${unit}"
      @pointermove=${point} ${drawing(datum, drawMap)}></canvas>
    <p class="scale">${rounded(minimum)} ${unit}
      <canvas width=${SHADES} height="1" aria-hidden="true" ${drawing(datum, drawScale)}></canvas>
      ${rounded(maximum)} ${unit}</p>
    <output class="note">${datum.pointed ? reading(datum) : "Point at the map to read a value."}</output>
  </figure>`;
}

function reading({ target, pointed }) {
  return `${rounded(target.offset + target.step * pointed.level)} ${target.unit} at x ${pointed.x}, y ${pointed.y}`;
}

function pixelAt({ offsetX, offsetY, target }, decoded) {
  if (!decoded) return undefined;
  const place = (offset, shown, count) => Math.min(Math.max(Math.floor((offset / shown) * count), 0), count - 1);
  const x = place(offsetX, target.clientWidth, decoded.width);
  const y = place(offsetY, target.clientHeight, decoded.height);
  return { x, y, level: decoded.values[y * decoded.width + x] };
}

async function paint(canvas, datum) {
  datum.decoded ??= await decodePng16(await pngOf(datum.target.map).arrayBuffer());
  const { width, height, values } = datum.decoded;
  canvas.classList.toggle("pixels", width < 200);
  colour(canvas, width, height, (i) => values[i] / LEVELS);
}

function drawMap(canvas, datum) {
  paint(canvas, datum);
}

function drawScale(canvas) {
  colour(canvas, SHADES, 1, (i) => i / (SHADES - 1));
}

/** Paint pixels in the colours of their shares of the scale. */
function colour(canvas, width, height, share) {
  const colours = Array.from({ length: SHADES }, (_, i) => [...mapped(COLOURS, i / (SHADES - 1)).map(Math.round), 255]);
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) image.data.set(colours[Math.round(share(i) * (SHADES - 1))], i * 4);
  context.putImageData(image, 0, 0);
}

function rounded(value) {
  return Number(value.toPrecision(DIGITS));
}
