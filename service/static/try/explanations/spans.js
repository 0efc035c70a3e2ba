/** Spans of time, steps or bands: over the waveform, or over the lines of a recording. */

import { html, svg } from "../vendor/lit-html/lit-html.js";
import { colour, largest, percent } from "./scale.js";
import { place } from "./words.js";

const WIDTH = 1000;
const HEIGHT = 160;
const MOST_LINES = 3;
const MOST_VALUES = 1000;

export function spans({ segments, extent, measure }, shown, input) {
  const [from, to] = range(extent);
  const x = (at) => (WIDTH * (at - from)) / (to - from);
  const most = largest(segments);
  const title = (segment) => `${place(segment, input)}: ${percent(segment.value, measure)}`;
  return html`<svg class="spans" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label="What carried the answer, along the input">
    ${segments.map((segment) => {
      const [start, stop] = edges(segment);
      return svg`<rect x=${x(start)} y="0" width=${Math.max(1, x(stop) - x(start))} height=${HEIGHT} fill=${colour(segment.value / most)}><title>${title(segment)}</title></rect>`;
    })}
    ${lines(shown, extent)}
  </svg>`;
}

function range({ seconds, steps, bands }) {
  if (seconds !== undefined) return [0, seconds];
  return steps === undefined ? [0, bands] : [-steps, 0];
}

function edges({ start, end, first_step: step, last_step: lastStep, first_band: band, last_band: lastBand }) {
  if (start !== undefined) return [start, end];
  return step === undefined ? [band, lastBand + 1] : [step, lastStep + 1];
}

/** The input itself, in front of the colours. */
function lines(shown, { steps }) {
  if (shown?.peaks) {
    const loudest = Math.max(1e-9, ...shown.peaks.flat().map(Math.abs));
    const y = (value) => HEIGHT / 2 - (value / loudest) * (HEIGHT / 2 - 2);
    const path = shown.peaks.map(([low, high], i) => `M${(WIDTH * (i + 0.5)) / shown.peaks.length} ${y(high)}V${y(low)}`);
    return svg`<path d=${path.join("")}></path>`;
  }
  return (shown?.columns ?? []).slice(0, MOST_LINES).map(({ values }) => svg`<path d=${line(values.slice(-(steps ?? values.length)))}></path>`);
}

function line(values) {
  const every = Math.ceil(values.length / MOST_VALUES);
  const kept = values.filter((_, i) => i % every === 0);
  const [low, high] = [Math.min(...kept), Math.max(...kept)];
  const y = (value) => HEIGHT - 4 - ((value - low) / (high - low || 1)) * (HEIGHT - 8);
  return kept.map((value, i) => `${i ? "L" : "M"}${((WIDTH * i) / Math.max(1, kept.length - 1)).toFixed(1)} ${y(value).toFixed(1)}`).join("");
}
