/** Point clouds. */

import { decodePoints } from "../decode/points.js";

const MOST_POINTS = 20_000;

export const pointcloud = {
  accept: ".ply,.pcd,.las,.laz,.xyz,.npy,.json",
  async show({ file }) {
    const points = decodePoints(await file.arrayBuffer());
    if (!points?.length) return null;
    const step = Math.ceil(points.length / MOST_POINTS);
    const kept = points.map((_, i) => i).filter((i) => i % step === 0);
    // The indices of the points in the file, to which the labels of an answer refer.
    return { kind: "cloud", points: kept.map((i) => points[i]), places: kept, count: points.length };
  },
};
