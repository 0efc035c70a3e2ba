/** Rows of numbers -> a picture on a canvas. */

import { mapped } from "../colours.js";

const SHADES = 256;
const MOST_SORTED = 100_000; // a percentile needs no more

/** A canvas of width x height pixels and its context. */
export function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return [canvas, canvas.getContext("2d", { willReadFrequently: true })];
}

/** A picture the browser itself can decode; turned as its EXIF data say. */
export async function decodedByBrowser(file) {
  const bitmap = await createImageBitmap(file);
  const [canvas, context] = canvasOf(bitmap.width, bitmap.height);
  context.drawImage(bitmap, 0, 0);
  return canvas;
}

/** A PNG file of its base64 form. */
export function pngOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], { type: "image/png" });
}

/**
 * Grey values as a picture, stretched from the first to the last percent of what is present.
 * `missing(value)` says which values mean no data; those pixels stay transparent.
 */
export function stretched({ width, height, values }, map = "grey", missing = Number.isNaN) {
  const [low, high] = range(values, missing);
  const scale = (SHADES - 1) / (high - low || 1);
  const colours = Array.from({ length: SHADES }, (_, i) => [...mapped(map, i / (SHADES - 1)).map(Math.round), 255]);
  const [canvas, context] = canvasOf(width, height);
  const image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    if (missing(values[i])) continue;
    const shade = Math.round((values[i] - low) * scale);
    image.data.set(colours[Math.min(Math.max(shade, 0), SHADES - 1)], i * 4);
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Red, green and blue planes, each stretched by itself. */
export function composite(width, height, planes) {
  const [canvas, context] = canvasOf(width, height);
  const image = context.createImageData(width, height);
  planes.forEach((values, channel) => {
    const [low, high] = range(values, Number.isNaN);
    for (let i = 0; i < width * height; i++) {
      image.data[i * 4 + channel] = (255 * (values[i] - low)) / (high - low || 1);
      image.data[i * 4 + 3] = 255;
    }
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

function range(values, missing) {
  const step = Math.ceil(values.length / MOST_SORTED);
  const some = Float64Array.from({ length: Math.floor(values.length / step) }, (_, i) => values[i * step]);
  const present = some.filter((value) => !missing(value)).sort();
  if (!present.length) return [0, 1];
  return [present[Math.floor(0.01 * (present.length - 1))], present[Math.ceil(0.99 * (present.length - 1))]];
}
