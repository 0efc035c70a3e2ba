/** Grey PNG files of 16 bits per pixel, of which a browser would show the upper 8 only. */

const SIGNATURE = [137, 80, 78, 71, 13, 10, 26, 10];
const GREY = 0;
const BYTES = 2;

/** {width, height, values} of a grey 16-bit PNG without interlacing; null for any other file. */
export async function decodePng16(buffer) {
  const bytes = new Uint8Array(buffer);
  if (!SIGNATURE.every((byte, i) => bytes[i] === byte)) return null;
  const view = new DataView(buffer);
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const [depth, colour, , , interlace] = bytes.slice(24, 29);
  if (depth !== 16 || colour !== GREY || interlace) return null;
  const packed = new Blob(chunks(bytes, view, "IDAT"));
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate"));
  const rows = unfilter(new Uint8Array(await new Response(stream).arrayBuffer()), width * BYTES, height);
  const samples = new DataView(rows.buffer);
  const values = Uint16Array.from({ length: width * height }, (_, i) => samples.getUint16(i * BYTES));
  return { width, height, values };
}

function chunks(bytes, view, name) {
  const found = [];
  for (let at = SIGNATURE.length; at < bytes.length; ) {
    const length = view.getUint32(at);
    if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) === name) {
      found.push(bytes.subarray(at + 8, at + 8 + length));
    }
    at += 12 + length;
  }
  return found;
}

/** Undo the five row filters of the PNG specification (section 9). */
function unfilter(data, stride, height) {
  const rows = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = PREDICTORS[data[y * (stride + 1)]];
    for (let x = 0; x < stride; x++) {
      const at = y * stride + x;
      const left = x < BYTES ? 0 : rows[at - BYTES];
      const up = y ? rows[at - stride] : 0;
      const corner = y && x >= BYTES ? rows[at - stride - BYTES] : 0;
      rows[at] = data[y * (stride + 1) + 1 + x] + filter(left, up, corner);
    }
  }
  return rows;
}

const PREDICTORS = [
  () => 0,
  (left) => left,
  (_, up) => up,
  (left, up) => (left + up) >> 1,
  (left, up, corner) => {
    const [a, b, c] = [up - corner, left - corner, left + up - 2 * corner].map(Math.abs);
    return a <= b && a <= c ? left : b <= c ? up : corner;
  },
];
