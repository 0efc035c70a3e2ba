/** A point cloud in three dimensions; seen from the side where the browser has no WebGL. */

import { labelColour, pageColour, plotlyScale } from "./colours.js";

/** Plotly's arguments for {points}, coloured by height. */
export function cloudPlot({ points }) {
  const heights = points.map(([, , z]) => z);
  return scene([trace(points, { color: heights, colorscale: plotlyScale("viridis") })]);
}

/** The same for {points, places, labels, names}: a colour per label. */
export function labelledCloudPlot({ points, places, labels, names }) {
  const found = [...new Set(places.map((place) => labels[place]))].filter((label) => label != null).sort((a, b) => a - b);
  return scene(
    found.map((label) => ({
      ...trace(points.filter((_, i) => labels[places[i]] === label), { color: labelColour(label) }),
      name: names[label],
    })),
    true,
  );
}

/** The same for {points, values}: red where a value is positive, blue where it is negative. */
export function carriedCloudPlot({ points, values }) {
  const most = Math.max(1e-12, ...values.map(Math.abs));
  return scene([trace(points, { color: values, colorscale: plotlyScale("balance"), cmin: -most, cmax: most })]);
}

function trace(points, marker) {
  const [x, y, z] = [0, 1, 2].map((axis) => points.map((point) => point[axis]));
  const size = points.length > 5000 ? 1.5 : 2.6;
  const hover = "x %{x:.3g}<br>y %{y:.3g}<extra></extra>";
  return hasWebGl()
    ? { type: "scatter3d", mode: "markers", x, y, z, marker: { ...marker, size }, hoverinfo: "x+y+z" }
    : { type: "scatter", mode: "markers", x, y: z, marker: { ...marker, size: 2 * size }, hovertemplate: hover };
}

function scene(traces, showlegend = false) {
  const line = pageColour("muted-border-color");
  const axis = { title: { text: "" }, color: pageColour("muted-color"), gridcolor: line, showbackground: false, zeroline: false };
  return {
    traces,
    layout: {
      showlegend,
      hovermode: "closest",
      margin: { l: 0, r: 0, t: 0, b: 0 },
      yaxis: hasWebGl() ? {} : { scaleanchor: "x" },
      scene: { aspectmode: "data", xaxis: axis, yaxis: axis, zaxis: axis, camera: { eye: { x: 1.5, y: -1.7, z: 0.9 } } },
    },
  };
}

function hasWebGl() {
  hasWebGl.known ??= Boolean(document.createElement("canvas").getContext("webgl"));
  return hasWebGl.known;
}
