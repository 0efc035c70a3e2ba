/** A vector as a strip of colours, with its norm and its similarity to the previous one. */

import { mapped } from "../colours.js";
import { drawing } from "../drawing.js";
import { html, nothing } from "../vendor/lit-html/lit-html.js";

const COLUMNS = 32;

export function embedding(result) {
  const rows = result.answer;
  const vector = rows.flat(2);
  result.datum ??= { vector };
  const { previous } = result;
  const comparable = previous && previous.vector.length === vector.length;
  return html`<canvas class="pixels strip-map" role="img" aria-label="The ${vector.length} components as colours"
      ${drawing(result.datum, drawVector)}></canvas>
    <p class="note">blue is negative, red is positive; read from left to right, row by row</p>
    <dl class="values">
      <div><dt>dimensions</dt><dd><strong>${vector.length}</strong></dd></div>
      <div><dt>norm</dt><dd><strong>${norm(vector).toFixed(3)}</strong></dd></div>
      ${comparable
        ? html`<div><dt>cosine similarity to the previous vector (${previous.name})</dt><dd><strong>${cosine(vector, previous.vector).toFixed(3)}</strong></dd></div>`
        : nothing}
    </dl>`;
}

function drawVector(canvas, { vector }) {
  canvas.width = Math.min(COLUMNS, vector.length);
  canvas.height = Math.ceil(vector.length / COLUMNS);
  const context = canvas.getContext("2d");
  const largest = Math.max(...vector.map(Math.abs), 1e-9);
  vector.forEach((value, i) => {
    context.fillStyle = `rgb(${mapped("balance", 0.5 + value / largest / 2).map(Math.round)})`;
    context.fillRect(i % COLUMNS, Math.floor(i / COLUMNS), 1, 1);
  });
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

function norm(vector) {
  return Math.sqrt(dot(vector, vector));
}

function cosine(a, b) {
  return dot(a, b) / (norm(a) * norm(b));
}
