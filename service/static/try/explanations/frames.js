/** Heat maps over the frames of video and depth, one for each span of time. */

import { picture } from "../views.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";
import { heat } from "./pictures.js";
import { largest } from "./scale.js";

export function frames({ segments, extent, measure }, shown) {
  const most = largest(segments);
  const spans = Map.groupBy ? Map.groupBy(segments, when) : grouped(segments);
  return html`<div class="pictures strip">${[...spans].map(([time, some]) => html`<figure>
    <div class="stack">${still(shown, some[0], extent)}${heat(some, extent, measure, most)}</div>
    <figcaption class="note">${time}</figcaption>
  </figure>`)}</div>`;
}

function grouped(segments) {
  const found = new Map();
  for (const segment of segments) found.set(when(segment), [...(found.get(when(segment)) ?? []), segment]);
  return found;
}

function when({ start, end, first_frame: first, last_frame: last }) {
  return start === undefined ? `frames ${first} to ${last}` : `${start.toFixed(1)} to ${end.toFixed(1)} s`;
}

/** The picture in the middle of a span, if the page can show it. */
function still(shown, { start, end, first_frame: first, last_frame: last }, { frames: count }) {
  if (shown?.kind === "video") {
    return html`<video src="${shown.url}#t=${((start + end) / 2).toFixed(2)}" muted playsinline preload="auto" aria-hidden="true"></video>`;
  }
  if (!shown?.frames) return nothing;
  const share = (first + last) / 2 / Math.max(1, (count ?? 1) - 1);
  return picture(shown.frames[Math.round(share * (shown.frames.length - 1))], "A frame of the input");
}
