/** Colours: of labels, which must be distinguishable, and of values, which must be ordered. */

const LABELS = [
  "#4e79d9", "#e8743b", "#2fa36b", "#b04fc4", "#d9a514", "#17a2b8",
  "#e0559b", "#7a8b3c", "#8f6a4f", "#6c6fd8", "#c94f4f", "#4a8f8f",
];

// Anchors of matplotlib's maps (CC0), dark to light, as [red, green, blue].
const MAPS = {
  grey: [[0, 0, 0], [255, 255, 255]],
  inferno: [[0, 0, 4], [40, 11, 84], [101, 21, 110], [159, 42, 99], [212, 72, 66], [245, 125, 21], [250, 193, 39], [252, 255, 164]],
  viridis: [[68, 1, 84], [70, 50, 127], [54, 92, 141], [39, 127, 142], [31, 161, 135], [74, 194, 109], [159, 218, 58], [253, 231, 37]],
  balance: [[36, 70, 160], [110, 150, 220], [242, 242, 245], [235, 130, 110], [165, 30, 45]],
};

/** The colour of the label at an index. */
export function labelColour(index) {
  return LABELS[index % LABELS.length];
}

/** [red, green, blue] of "#rrggbb". */
export function rgb(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** [red, green, blue] of a value from 0 to 1 on a map. */
export function mapped(name, value) {
  const anchors = MAPS[name];
  const at = Math.min(Math.max(value, 0), 1) * (anchors.length - 1);
  const low = Math.min(Math.floor(at), anchors.length - 2);
  return anchors[low].map((channel, i) => channel + (anchors[low + 1][i] - channel) * (at - low));
}

/** The map in the form Plotly takes. */
export function plotlyScale(name) {
  const anchors = MAPS[name];
  return anchors.map((colour, i) => [i / (anchors.length - 1), `rgb(${colour})`]);
}

/** A colour of the page's own style sheet. */
export function pageColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--pico-${name}`).trim();
}
