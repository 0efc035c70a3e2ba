/** NumPy's array files. */

const TYPES = {
  f4: Float32Array, f8: Float64Array, u1: Uint8Array, i1: Int8Array, u2: Uint16Array,
  i2: Int16Array, u4: Uint32Array, i4: Int32Array, b1: Uint8Array,
};

/** {shape, values} of a little-endian array in C order; null for any other file. */
export function decodeNpy(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(1, 6)) !== "NUMPY") return null;
  const view = new DataView(buffer);
  const start = bytes[6] === 1 ? 10 : 12;
  const length = start === 10 ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const type = TYPES[/'descr': '[<|=](\w+)'/.exec(header)?.[1]];
  if (!type || /'fortran_order': True/.test(header)) return null;
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((n) => n.trim()).map(Number);
  const data = buffer.slice(start + length);
  const count = shape.reduce((product, n) => product * n, 1);
  return { shape, values: new type(data, 0, count) };
}
