/** Two answers side by side: of two heads to one input, or of now and before. */

import { hideBeside, useCompanion } from "./actions.js";
import { answerBody, problemView } from "./answer_body.js";
import { companions } from "./heads.js";
import { named } from "./history.js";
import { state } from "./state.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { live } from "./vendor/lit-html/directives/live.js";

/** The choice of a second head, if there is one that takes the same input. */
export function companionChooser() {
  const tasks = companions();
  if (!tasks.length) return nothing;
  return html`<label class="companion">Compare with
    <select .value=${live(state.companion)} @change=${(event) => useCompanion(event.target.value)}>
      <option value="">no other head</option>
      ${tasks.map(({ modality, task }) => html`<option value=${task} .selected=${task === state.companion}>${modality}/${task}</option>`)}
    </select></label>`;
}

/** The answer, and beside it the one to compare it with. */
export function sides(result, beside) {
  if (!beside) return answerBody(result, state.shown);
  return html`<div class="sides">
    <div class="side" data-side="now">${title(result)}${answerBody(result, state.shown)}</div>
    <div class="side" data-side="beside">${other(beside)}</div>
  </div>`;
}

function other({ result, shown, problem, head, at }) {
  const hide = html`<button type="button" class="secondary outline copy" @click=${hideBeside}>Hide</button>`;
  if (problem) return html`<h3>${head.modality}/${head.task}</h3>${problemView(problem)}${hide}`;
  if (!result) return html`<h3 aria-busy="true">${head.modality}/${head.task}</h3>`;
  const preview = result.input === state.input ? state.shown : shown;
  return html`${title(result, at)}${answerBody(result, preview)}${hide}`;
}

function title({ head, version, input }, at) {
  const details = [version && `version ${version}`, at && named(input), at && clock(at)].filter(Boolean);
  return html`<h3>${head.modality}/${head.task} <small class="muted">${details.join(", ")}</small></h3>`;
}

/** The time of day of an ISO date. */
export function clock(at) {
  return new Date(at).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}
