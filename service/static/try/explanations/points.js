/** A point cloud, coloured by what its groups carry. */

import { carriedCloudPlot } from "../cloud.js";
import { plot } from "../plot.js";

const known = new WeakMap(); // the data of a plot, made once for an explanation and a preview

export function points(explanation, shown) {
  if (!shown?.points) return undefined;
  let datum = known.get(explanation);
  if (datum?.cloud !== shown) {
    const values = new Float64Array(explanation.extent.points);
    for (const { points: some, value } of explanation.segments) for (const point of some) values[point] = value;
    datum = { cloud: shown, points: shown.points, values: shown.places.map((place) => values[place]) };
    known.set(explanation, datum);
  }
  return plot(datum, carriedCloudPlot, "Point cloud, coloured by what its parts carry", "cloud");
}
