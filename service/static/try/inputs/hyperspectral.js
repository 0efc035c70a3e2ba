/** Cubes of rows x columns x bands, in false colours. */

import { decodeNpy } from "../decode/npy.js";
import { composite } from "../decode/raster.js";
import { decodeTiff } from "../decode/tiff.js";

// Where near infrared, red and green lie among the bands of an instrument from 0.4 to 2.5 um.
const BANDS = [0.22, 0.13, 0.07];

export const hyperspectral = {
  accept: ".npy,.tif,.tiff,.mat,.zip,.json",
  async show({ file }) {
    const buffer = await file.arrayBuffer();
    const cube = fromNpy(decodeNpy(buffer)) ?? fromPages(await decodeTiff(buffer));
    if (!cube) return null;
    const planes = BANDS.map((place) => cube.plane(Math.round(place * (cube.bands - 1))));
    return {
      kind: "pictures",
      frames: [composite(cube.width, cube.height, planes)],
      note: `${cube.bands} bands; near infrared, red and green shown as red, green and blue`,
    };
  },
};

function fromNpy(array) {
  if (array?.shape.length !== 3) return null;
  const [height, width, bands] = array.shape;
  const plane = (band) => Float64Array.from({ length: width * height }, (_, i) => array.values[i * bands + band]);
  return { width, height, bands, plane };
}

function fromPages(pages) {
  if (!pages?.every(({ values }) => values)) return null;
  return { ...pages[0], bands: pages.length, plane: (band) => pages[band].values };
}
