/** Highlighted words; and the place of any segment in words. */

import { html } from "../vendor/lit-html/lit-html.js";
import { colour, largest, percent } from "./scale.js";

export function words({ segments, measure }, _, input) {
  const texts = textsOf(input);
  if (!texts) return undefined;
  const most = largest(segments);
  return texts.map((text, number) => {
    const parts = segments.flatMap(({ value, and, ...first }) => [first, ...(and ? [and] : [])].map((found) => ({ ...found, value })));
    return html`<p class="words">${marked(text, parts.filter((found) => found.text === number), most, measure)}</p>`;
  });
}

/** The texts as lists of characters: places count characters, not the units of JavaScript. */
function textsOf(input) {
  const value = input?.json;
  if (typeof value === "string") return [[...value]];
  return value?.text === undefined ? null : [[...value.text], [...value.text_pair]];
}

function marked(text, parts, most, measure) {
  const shown = [];
  let at = 0;
  for (const { start, end, value } of parts) {
    shown.push(text.slice(at, start).join(""));
    shown.push(html`<mark style="background: ${colour(value / most)}" title=${percent(value, measure)}>${text.slice(start, end).join("")}</mark>`);
    at = end;
  }
  return [...shown, text.slice(at).join("")];
}

/** Where a segment lies, in words. */
export function place(segment, input) {
  const { box, start, end, text, column, columns, atom, atoms, points, first_band: band, first_step: step } = segment;
  const time = start === undefined ? frameNames(segment) : `${start.toFixed(2)} to ${end.toFixed(2)} s`;
  if (text !== undefined) return `“${textsOf(input)?.[text].slice(start, end).join("") ?? `${start} to ${end}`}”`;
  if (box) return [`x ${box.xmin} to ${box.xmax}, y ${box.ymin} to ${box.ymax}`, time].filter(Boolean).join(", ");
  if (column !== undefined) return column;
  if (columns) return columns.join(", ");
  if (atom !== undefined) return `atom ${atom}`;
  if (atoms) return `atoms ${atoms.join(", ")}`;
  if (points) return `${points.length} points around point ${points[0] ?? "?"}`;
  if (band !== undefined) return `bands ${band} to ${segment.last_band}`;
  if (step !== undefined) return `steps ${step} to ${segment.last_step}`;
  return time;
}

function frameNames({ first_frame: first, last_frame: last }) {
  return first === undefined ? "" : `frames ${first} to ${last}`;
}
