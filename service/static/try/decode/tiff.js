/** TIFF files, by UTIF. */

import { script } from "../scripts.js";
import { canvasOf } from "./raster.js";

const MOST_PAGES = 600;
const MOST_SAMPLES = 4;

/**
 * A list of pages: {width, height} with values if it is grey, with a canvas if it is in colour, and
 * with neither if it has more samples per pixel than colours. Null if it is no TIFF.
 */
export async function decodeTiff(buffer) {
  const mark = String.fromCharCode(...new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength)));
  if (mark !== "II" && mark !== "MM") return null;
  await script("pako/pako_inflate.min.js");
  await script("utif2/UTIF.js");
  return UTIF.decode(buffer).slice(0, MOST_PAGES).map((page) => pixels(buffer, page));
}

function pixels(buffer, page) {
  UTIF.decodeImage(buffer, page);
  const { width, height } = page;
  const bits = page.t258?.[0] ?? 1;
  const samples = page.t277?.[0] ?? 1;
  if (samples === 1 && bits >= 16) {
    const type = bits === 16 ? Uint16Array : page.t339?.[0] === 3 ? Float32Array : Uint32Array;
    const data = page.data.slice(0, (width * height * bits) / 8);
    return { width, height, values: new type(data.buffer) };
  }
  if (samples > MOST_SAMPLES) return { width, height };
  const [canvas, context] = canvasOf(width, height);
  context.putImageData(new ImageData(new Uint8ClampedArray(UTIF.toRGBA8(page)), width, height), 0, 0);
  return { width, height, canvas };
}
