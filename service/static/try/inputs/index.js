/**
 * The input of each modality, by its name. An entry has
 *   accept                 what the file dialogue offers
 *   show(input, head)      a preview of the input, {kind, …} (see views.js); null if it cannot be decoded
 *   fromFile(file, head)   optional: {json} for an input that an editor holds instead of the file
 *   empty(head)            optional: an input to start from, without a file
 *   inWindows              optional: true if the service may answer window by window
 *   editor(input, head, change)  optional: an editor; it calls change(input) after each edit
 */

import { audio } from "./audio.js";
import { depth } from "./depth.js";
import { graph } from "./graph.js";
import { hyperspectral } from "./hyperspectral.js";
import { grey, image } from "./image.js";
import { series } from "./series.js";
import { pointcloud } from "./pointcloud.js";
import { tabular } from "./tabular.js";
import { text } from "./text.js";
import { video } from "./video.js";

const INPUTS = {
  image,
  video,
  audio,
  text,
  depth,
  pointcloud,
  timeseries: series("Series"),
  tabular,
  graph,
  xray: grey("grey", ".dcm,image/png,image/jpeg"),
  infrared: grey("inferno", "image/tiff,image/png,image/jpeg"),
  imu: series("Channels", true),
  hyperspectral,
};

// A modality that this page does not know yet: its files are sent as they are.
const ANY = { accept: "", show: async () => null };

/** Names of modalities, those above first and in their order. */
export function inOrder(modalities) {
  const known = Object.keys(INPUTS);
  return [...known.filter((name) => modalities.includes(name)), ...modalities.filter((name) => !known.includes(name))];
}

export function inputOf(head) {
  return INPUTS[head.modality] ?? ANY;
}
