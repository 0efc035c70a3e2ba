/** Depth: pictures in millimetres (0 is no data), or arrays in metres (NaN is none). */

import { decodeNpy } from "../decode/npy.js";
import { decodePng16 } from "../decode/png16.js";
import { stretched } from "../decode/raster.js";
import { decodeTiff } from "../decode/tiff.js";

const MOST_FRAMES = 8;

export const depth = {
  accept: ".png,.npy,.tif,.tiff",
  async show({ file }) {
    const buffer = await file.arrayBuffer();
    const single = await decodePng16(buffer);
    const frames = single ? [single] : (framesOf(decodeNpy(buffer)) ?? (await decodeTiff(buffer)));
    if (!frames?.every(({ values }) => values)) return null;
    const some = evenly(frames, MOST_FRAMES);
    return {
      kind: "pictures",
      frames: some.map((frame) => stretched(frame, "viridis", (value) => !(value > 0))),
      note: `${frames.length} frame${frames.length > 1 ? "s" : ""}; near is dark, far is bright`,
    };
  },
};

function framesOf(array) {
  if (!array || array.shape.length < 2 || array.shape.length > 3) return null;
  const [height, width] = array.shape.slice(-2);
  const size = height * width;
  return Array.from({ length: array.values.length / size }, (_, i) => ({
    width,
    height,
    values: array.values.subarray(i * size, (i + 1) * size),
  }));
}

function evenly(list, most) {
  const step = Math.max(1, (list.length - 1) / (most - 1));
  return list.length <= most ? list : Array.from({ length: most }, (_, i) => list[Math.round(i * step)]);
}
