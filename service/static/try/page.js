/** The page: choice of the head, input, answer, and the same request from a terminal. */

import { forgetKey, run, useExplain, useFile, useInput, useKey, useSample } from "./actions.js";
import { problemView } from "./answer_body.js";
import { companionChooser, sides } from "./compare.js";
import { copyButton } from "./copying.js";
import { curlLines } from "./curl.js";
import { samplesOf } from "./heads.js";
import { inOrder, inputOf } from "./inputs/index.js";
import { fragmentOf } from "./links.js";
import { sourcesView } from "./notes.js";
import { partsView } from "./parts.js";
import { linkView, sessionView } from "./session.js";
import { chosen, state } from "./state.js";
import { timing } from "./timing.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";
import { live } from "./vendor/lit-html/directives/live.js";
import { keyed } from "./vendor/lit-html/directives/keyed.js";
import { size, view } from "./views.js";

export function page() {
  const head = chosen();
  if (!head) return state.askKey ? html`${state.problem ? problemView(state.problem) : nothing}${keyForm()}` : waiting();
  return html`${chooser(head)}
    <div class="panels">
      <section aria-labelledby="input-title">${inputPanel(head)}</section>
      <section aria-labelledby="answer-title" aria-live="polite">${answerPanel()}</section>
    </div>
    ${footer(head)}
    ${sessionView()}`;
}

function waiting() {
  return html`<p class="waiting" aria-busy="true" role="status">${state.unreachable || "Loading the list of models …"}</p>`;
}

function chooser(head) {
  const modalities = inOrder([...new Set(state.models.map(({ modality }) => modality))]);
  const tasks = state.models.filter(({ modality }) => modality === head.modality);
  tasks.sort((a, b) => (a.family === "embedding") - (b.family === "embedding"));
  const link = (address, name, current) =>
    html`<li><a href="#${address}" aria-current=${current ? "true" : nothing}>${name}</a></li>`;
  return html`<nav class="chooser" aria-label="Modality">
      <ul>${modalities.map((name) => link(name, name, name === head.modality))}</ul>
    </nav>
    <nav class="chooser tasks" aria-label="Task">
      <ul>${tasks.map(({ task }) => link(`${head.modality}/${task}`, task, task === head.task))}</ul>
    </nav>
    <p class="description">${head.experimental ? html`<strong class="experimental">Experimental</strong> ` : nothing}${head.description} ${figure(head)}</p>`;
}

function figure({ metrics }) {
  const [metric] = metrics;
  if (!metric) return nothing;
  return html`<small class="muted">${metric.name} ${metric.value.toPrecision(3)} on ${metric.dataset}, ${metric.samples.toLocaleString("en")} samples.</small>`;
}

function inputPanel(head) {
  const input = inputOf(head);
  const samples = samplesOf(head);
  return html`<h2 id="input-title">Input</h2>
    <div class="drop" @dragover=${onDragOver} @dragleave=${onDragLeave} @drop=${onDrop}>
      <div class="sources">
        <label class="upload"><span role="button" class="secondary outline">Choose a file</span>
          <input type="file" accept=${input.accept || nothing} @change=${onFileChosen}></label>
        <span class="muted">or drop a file here, or use a sample:</span>
        ${samples.map((sample) => html`<button type="button" class="sample secondary outline"
          aria-pressed=${state.input?.sample === sample ? "true" : "false"} @click=${() => useSample(sample)}>${sample.title}</button>`)}
      </div>
      ${input.editor?.(state.input, head, useInput) ?? nothing}
      <div class="shown">${state.shown ? keyed(state.shown, view(state.shown)) : nothing}</div>
      ${state.input?.file ? html`<p class="note"><code>${state.input.name}</code> ${size(state.input.file.size)}</p>` : nothing}
    </div>
    ${state.expected ? html`<p class="expected" role="status">This link is about <strong>${state.expected}</strong>, which stays with its sender: choose that file here.</p>` : nothing}
    ${sourcesView(head)}
    ${companionChooser()}
    ${head.explainable
      ? html`<label class="explain"><input type="checkbox" role="switch" .checked=${live(state.explain)} @change=${(event) => useExplain(event.target.checked)}>
          Explain: show what carried the answer</label>`
      : nothing}
    <button type="button" class="run" ?disabled=${!state.input || state.loading} aria-busy=${state.busy || state.loading ? "true" : "false"} @click=${run}>
      ${state.busy ? "Running …" : "Run"}</button>`;
}

function answerPanel() {
  const { result } = state;
  return html`<h2 id="answer-title">Answer</h2>
    ${state.problem ? problemView(state.problem) : nothing}
    ${state.askKey ? keyForm() : nothing}
    ${state.parts.length
      ? partsView(state.parts)
      : result
      ? sides(result, state.beside)
      : state.problem ? nothing : html`<p class="empty muted">Press <strong>Run</strong> to send the input to the service.</p>`}`;
}

function keyForm() {
  const submit = (event) => {
    event.preventDefault();
    useKey(new FormData(event.target).get("key").trim());
  };
  return html`<form class="key" @submit=${submit}>
    <label>This service requires an API key
      <input type="password" name="key" required autocomplete="off" placeholder="kept until this tab is closed">
    </label>
    <button type="submit">Use the key</button>
  </form>`;
}

function footer(head) {
  const explain = state.explain && head.explainable === true;
  const lines = curlLines(`${head.modality}/${head.task}`, state.input, Boolean(state.key), explain);
  const text = lines.join("\n");
  return html`<div class="panels below">
    <section aria-labelledby="curl-title">
      <h2 id="curl-title">From a terminal</h2>
      <pre class="curl" tabindex="0"><code>${text}</code></pre>
      ${copyButton(text)}
      ${state.key ? html`<button type="button" class="secondary outline copy" @click=${forgetKey}>Forget the API key</button>` : nothing}
      ${state.input ? linkView(fragmentOf(head, state.input, { explain, compare: state.companion }), state.input) : nothing}
    </section>
    <section aria-labelledby="time-title">
      <h2 id="time-title">Time</h2>
      ${state.result ? timing(state.result) : html`<p class="muted">Shown once there is an answer.</p>`}
    </section>
  </div>`;
}

function onFileChosen(event) {
  const [file] = event.target.files;
  event.target.value = ""; // the same file may be chosen again
  if (file) useFile(file);
}

function onDragOver(event) {
  event.preventDefault();
  event.currentTarget.classList.add("over");
}

function onDragLeave(event) {
  event.currentTarget.classList.remove("over");
}

function onDrop(event) {
  event.preventDefault();
  onDragLeave(event);
  const [file] = event.dataTransfer.files;
  if (file) useFile(file);
}
