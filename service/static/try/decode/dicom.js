/** Uncompressed grey DICOM pictures, by dicom-parser. */

import { script } from "../scripts.js";

const UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"];
const MAGIC_AT = 128;

/** {width, height, values, inverted}; null if it is no DICOM file, or a compressed one. */
export async function decodeDicom(buffer) {
  const bytes = new Uint8Array(buffer);
  if (String.fromCharCode(...bytes.subarray(MAGIC_AT, MAGIC_AT + 4)) !== "DICM") return null;
  await script("dicom-parser/dicomParser.min.js");
  const data = dicomParser.parseDicom(bytes);
  const element = data.elements.x7fe00010;
  const syntax = data.string("x00020010") ?? UNCOMPRESSED[1];
  if (!element || !UNCOMPRESSED.includes(syntax) || (data.uint16("x00280002") ?? 1) !== 1) return null;
  const [height, width] = [data.uint16("x00280010"), data.uint16("x00280011")];
  const signed = data.uint16("x00280103") === 1;
  const wide = data.uint16("x00280100") > 8;
  const type = wide ? (signed ? Int16Array : Uint16Array) : signed ? Int8Array : Uint8Array;
  const start = bytes.byteOffset + element.dataOffset;
  const raw = buffer.slice(start, start + width * height * type.BYTES_PER_ELEMENT);
  return { width, height, values: new type(raw), inverted: data.string("x00280004") === "MONOCHROME1" };
}
