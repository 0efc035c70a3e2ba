/** Point clouds: PLY, PCD, XYZ, NPY and JSON -> a list of [x, y, z]. */

import { decodeNpy } from "./npy.js";

const SIZES = {
  char: 1, int8: 1, uchar: 1, uint8: 1, short: 2, int16: 2, ushort: 2, uint16: 2,
  int: 4, int32: 4, uint: 4, uint32: 4, float: 4, float32: 4, double: 8, float64: 8,
};

/** The points of a file; null if it is in a format that is not decoded here (NPZ, LAS, LAZ, compressed PCD). */
export function decodePoints(buffer) {
  const text = new TextDecoder().decode(buffer);
  if (text.startsWith("ply")) return fromPly(buffer, text);
  if (/^(#.*\n)*VERSION/.test(text)) return fromPcd(buffer, text);
  if (text.startsWith("LASF") || text.startsWith("PK")) return null;
  const array = decodeNpy(buffer);
  if (array) return fromRows(array.values, array.shape);
  if (/^\s*[[{]/.test(text)) return fromJson(JSON.parse(text));
  return fromLines(text.split("\n"));
}

function fromPly(buffer, text) {
  const head = text.slice(0, text.indexOf("end_header"));
  const format = /format (\w+)/.exec(head)[1];
  const count = Number(/element vertex (\d+)/.exec(head)[1]);
  const block = head.split(/element /).find((part) => part.startsWith("vertex"));
  const fields = [...block.matchAll(/property (\w+) (\w+)/g)].map(([, type, name]) => ({ type, name }));
  const start = new TextEncoder().encode(head).length + "end_header\n".length;
  if (format === "ascii") {
    const lines = text.slice(text.indexOf("end_header") + "end_header\n".length).split("\n");
    const at = ["x", "y", "z"].map((axis) => fields.findIndex(({ name }) => name === axis));
    return lines.slice(0, count).map((line) => pick(line.trim().split(/\s+/).map(Number), at));
  }
  return binary(buffer, start, count, fields, format === "binary_little_endian");
}

function fromPcd(buffer, text) {
  const kind = /^DATA (\w+)/m.exec(text);
  const words = (name) => new RegExp(`^${name} (.*)$`, "m").exec(text)[1].trim().split(/\s+/);
  const [names, sizes, types] = ["FIELDS", "SIZE", "TYPE"].map(words);
  const count = Number(words("POINTS")[0]);
  const start = kind.index + kind[0].length + 1;
  const at = ["x", "y", "z"].map((axis) => names.indexOf(axis));
  if (kind[1] === "ascii") {
    return text.slice(start).split("\n").slice(0, count).map((line) => pick(line.trim().split(/\s+/).map(Number), at));
  }
  if (kind[1] !== "binary") return null;
  const kinds = { F4: "float", F8: "double", U1: "uchar", U2: "ushort", U4: "uint", I1: "char", I2: "short", I4: "int" };
  const fields = names.map((name, i) => ({ name, type: kinds[types[i] + sizes[i]] }));
  return binary(buffer, start, count, fields, true);
}

function binary(buffer, start, count, fields, little) {
  const view = new DataView(buffer);
  const stride = fields.reduce((sum, { type }) => sum + SIZES[type], 0);
  const places = ["x", "y", "z"].map((axis) => {
    const index = fields.findIndex(({ name }) => name === axis);
    const offset = fields.slice(0, index).reduce((sum, { type }) => sum + SIZES[type], 0);
    return { offset, wide: SIZES[fields[index].type] === 8 };
  });
  return Array.from({ length: count }, (_, i) =>
    places.map(({ offset, wide }) => {
      const at = start + i * stride + offset;
      return wide ? view.getFloat64(at, little) : view.getFloat32(at, little);
    }),
  );
}

function fromRows(values, [count, width]) {
  return Array.from({ length: count }, (_, i) => [0, 1, 2].map((axis) => values[i * width + axis]));
}

function fromJson(value) {
  const points = value.inputs?.points ?? value.inputs ?? value.points ?? value;
  return points.map((point) => point.slice(0, 3));
}

function fromLines(lines) {
  const rows = lines.map((line) => line.trim().split(/[\s,;]+/).slice(0, 3).map(Number));
  return rows.filter((row) => row.length === 3 && row.every(Number.isFinite));
}

function pick(values, at) {
  return at.map((index) => values[index]);
}
