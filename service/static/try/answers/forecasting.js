/** History and forecast: a plot per series, with the outermost quantiles as a band. */

import { labelColour, pageColour } from "../colours.js";
import { axis, plot } from "../plot.js";
import { html } from "../vendor/lit-html/lit-html.js";

const HISTORY_PER_STEP = 2;

export function forecasting(result, shown) {
  // The history may be decoded after the answer is there; the same data otherwise, drawn once.
  if (!result.data || result.shown !== shown) result.data = dataOf(result.answer, shown);
  result.shown = shown;
  return result.data.map(
    (series) => html`<h4>${series.prediction.target}</h4>
      ${plot(series, forecastPlot, `Forecast of ${series.prediction.target}, ${series.prediction.mean.length} steps`, "short")}`,
  );
}

/** A prediction with its history, per series. */
function dataOf(answer, shown) {
  return answer.predictions.map((prediction, index) => ({
    prediction,
    index,
    history: shown?.columns?.find(({ name }) => name === prediction.target) ?? shown?.columns?.[index],
    time: shown?.time,
  }));
}

function forecastPlot({ prediction, history, time, index }) {
  const past = history?.values ?? [];
  const from = Math.max(0, past.length - HISTORY_PER_STEP * prediction.mean.length);
  const [before, after] = steps(time?.values, past.length, prediction.mean.length);
  const colour = labelColour(index);
  const line = (name, x, y, style) => ({ type: "scatter", mode: "lines", name, x, y, line: { width: 1.8, ...style } });
  const traces = [
    line("history", before.slice(from), past.slice(from), { color: pageColour("muted-color"), width: 1.3 }),
    ...band(prediction.quantiles, after, colour),
    line("forecast", after, prediction.mean, { color: colour, width: 2.4 }),
  ];
  return { traces, layout: { xaxis: axis(time?.name ?? "step"), yaxis: axis(""), margin: { l: 44, r: 12, t: 4, b: 36 } } };
}

/** The steps of the past and those of the forecast, in dates if the past has them. */
function steps(times, past, future) {
  if (!times) return [range(0, past), range(past, future)];
  const last = times.at(-1);
  const step = last - times.at(-2);
  const next = range(1, future).map((i) => Number(last) + i * step);
  return [times, last instanceof Date ? next.map((at) => new Date(at)) : next];
}

function band(quantiles, x, colour) {
  const levels = Object.keys(quantiles ?? {}).sort((a, b) => a - b);
  if (levels.length < 2) return [];
  const edge = { type: "scatter", mode: "lines", x, line: { width: 0 }, showlegend: false };
  const [low, high] = [levels[0], levels.at(-1)];
  return [
    { ...edge, y: quantiles[low], name: low },
    { ...edge, y: quantiles[high], name: `${low} to ${high}`, fill: "tonexty", fillcolor: `${colour}33`, showlegend: true },
  ];
}

function range(from, count) {
  return Array.from({ length: count }, (_, i) => from + i);
}
