/** Pictures: in colour, and grey ones of more than 8 bits. */

import { decodeDicom } from "../decode/dicom.js";
import { decodePng16 } from "../decode/png16.js";
import { decodedByBrowser, stretched } from "../decode/raster.js";
import { decodeTiff } from "../decode/tiff.js";

export const image = {
  accept: "image/*",
  async show({ file }) {
    const [page] = (await decodeTiff(await file.arrayBuffer())) ?? [];
    return picture(page ? (page.canvas ?? stretched(page)) : await decodedByBrowser(file));
  },
};

/** One channel of 8 to 16 bits: X-ray and infrared. `map` colours it. */
export function grey(map, accept) {
  return {
    accept,
    async show({ file }) {
      const buffer = await file.arrayBuffer();
      const found =
        (await decodePng16(buffer)) ?? (await decodeDicom(buffer)) ?? (await decodeTiff(buffer))?.[0];
      if (!found) return picture(await decodedByBrowser(file));
      const shown = picture(found.canvas ?? stretched(found, map));
      return { ...shown, inverted: found.inverted, note: found.canvas ? "" : "contrast stretched" };
    },
  };
}

function picture(canvas) {
  return { kind: "pictures", frames: [canvas] };
}
