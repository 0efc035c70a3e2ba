/**
 * Views of answers, by the task family of the head. Each takes the result (api.js: predict, with
 * its head and input) and the preview of the input; any other family is shown as JSON.
 */

import { html } from "../vendor/lit-html/lit-html.js";
import { classification } from "./classification.js";
import { detection } from "./detection.js";
import { embedding } from "./embedding.js";
import { forecasting } from "./forecasting.js";
import { regression } from "./regression.js";
import { segmentation } from "./segmentation.js";
import { summarization } from "./summarization.js";

const ANSWERS = {
  classification,
  detection,
  segmentation,
  regression,
  forecasting,
  embedding,
  summarization,
};

export function answerView(result, shown) {
  const show = ANSWERS[result.head.family] ?? asJson;
  return html`${show(result, shown)}
    <details class="raw"><summary>Raw answer</summary>${asJson(result)}</details>`;
}

const MOST_CHARACTERS = 4000;

function asJson({ answer }) {
  const text = JSON.stringify(answer, null, 1);
  const cut = text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)} …` : text;
  return html`<pre tabindex="0"><code>${cut}</code></pre>`;
}
