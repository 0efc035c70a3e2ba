/** Previews of inputs, by the kind that a modality decodes them to (see inputs/). */

import { axis, plot } from "./plot.js";
import { labelColour, pageColour } from "./colours.js";
import { cloudPlot } from "./cloud.js";
import { drawing } from "./drawing.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";

const MOST_ROWS = 20;
const MOST_STEPS = 2000;

const VIEWS = {
  none: () => nothing,
  pictures,
  video: ({ url }) => html`<video class="media" src=${url} controls muted loop playsinline aria-label="The clip"></video>`,
  moving: ({ url }) => html`<img class="media" src=${url} alt="The clip">`,
  audio,
  lines: (shown) => html`${plot(shown, linesPlot, `${shown.noun} over ${shown.time?.name ?? "steps"}`, "short")}
    <ul class="legend">${shown.columns.map(({ name }, i) => html`<li><span class="swatch" style="background: ${labelColour(i)}"></span>${name}</li>`)}</ul>`,
  cloud: (shown) => html`${plot(shown, cloudPlot, `Point cloud of ${shown.count} points`, "cloud")}
    <p class="note">${shown.count.toLocaleString("en")} points, coloured by height; drag to rotate</p>`,
  molecule: (shown) => html`<div class="molecule" role="img" aria-label="Drawing of the molecule"
    ${drawing(shown, drawMolecule)}></div>`,
  table,
  file: ({ file }) => html`<p class="file muted">This page cannot display <strong>${file.name}</strong>, but the
    service may be able to read it.</p>`,
};

export function view(shown) {
  return VIEWS[shown.kind](shown);
}

/** A copy of a canvas, because the same picture may be shown twice. */
export function picture(canvas, label) {
  return html`<canvas class=${canvas.width < 200 ? "pixels" : ""} role="img" aria-label=${label}
    width=${canvas.width} height=${canvas.height} ${drawing(canvas, copyCanvas)}></canvas>`;
}

function copyCanvas(element, canvas) {
  element.width = canvas.width;
  element.height = canvas.height;
  element.getContext("2d").drawImage(canvas, 0, 0);
}

function pictures({ frames, note, inverted }) {
  const [{ width, height }] = frames;
  return html`<figure class="pictures ${frames.length > 1 ? "strip" : ""} ${inverted ? "inverted" : ""}">
      ${frames.map((frame, i) => picture(frame, `Frame ${i + 1} of the input`))}
    </figure>
    <p class="note">${width} × ${height} pixels${note ? html`; ${note}` : nothing}</p>`;
}

function audio(shown) {
  return html`${shown.peaks
      ? html`<canvas class="wave" width="1200" height="240" role="img" aria-label="Waveform" ${drawing(shown, drawWave)}></canvas>`
      : nothing}
    <audio class="media" src=${shown.url} controls aria-label="The recording"></audio>
    ${shown.seconds ? html`<p class="note">${shown.seconds.toFixed(2)} s</p>` : nothing}`;
}

function drawWave(canvas, { peaks }) {
  const context = canvas.getContext("2d");
  const { width, height } = canvas;
  const loudest = Math.max(...peaks.flat().map(Math.abs), 1e-9);
  context.clearRect(0, 0, width, height);
  context.fillStyle = pageColour("primary");
  peaks.forEach(([low, high], i) => {
    const y = (value) => height / 2 - (value / loudest) * (height / 2 - 4);
    context.fillRect((i * width) / peaks.length, y(high) - 1, width / peaks.length - 0.4, y(low) - y(high) + 2);
  });
}

function linesPlot({ time, columns }) {
  const from = Math.max(0, columns[0].values.length - MOST_STEPS);
  return {
    traces: columns.map(({ name, values }, i) => ({
      type: "scatter",
      mode: "lines",
      name,
      x: time?.values.slice(from),
      y: values.slice(from),
      line: { width: 1.4, color: labelColour(i) },
    })),
    layout: { xaxis: axis(time?.name ?? "step"), yaxis: axis(""), showlegend: false },
  };
}

function drawMolecule(element, { molecule }) {
  const box = { suppressChiralText: true, suppressESR: true, suppressCIPParity: true };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const markup = molecule.toSVG(420, 300, undefined, { ...box, autoCrop: true, autoCropMargin: 18 });
  const svg = new DOMParser().parseFromString(markup, "image/svg+xml").documentElement;
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  element.classList.toggle("dark", dark);
  element.replaceChildren(document.importNode(svg, true));
}

function table({ columns }) {
  const rows = columns[0]?.values.length ?? 0;
  const shown = Array.from({ length: Math.min(rows, MOST_ROWS) }, (_, row) => row);
  return html`<div class="scroll" tabindex="0" role="region" aria-label="Rows of the table">
      <table class="striped">
        <thead><tr><th scope="col">row</th>${columns.map(({ name }) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${shown.map((row) => html`<tr><th scope="row">${row + 1}</th>
          ${columns.map(({ values }) => html`<td>${values[row]}</td>`)}</tr>`)}</tbody>
      </table>
    </div>
    <p class="note">${rows.toLocaleString("en")} rows, ${columns.length} columns</p>`;
}

/** A number of bytes in readable form. */
export function size(bytes) {
  return bytes < 1024 ? `${bytes} bytes` : bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
