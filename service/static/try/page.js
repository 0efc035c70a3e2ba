/** The page: choice of the head, input, answer, and the same request from a terminal. */

import { forgetKey, run, samplesOf, useFile, useInput, useKey, useSample } from "./actions.js";
import { answerView } from "./answers/index.js";
import { curlLines } from "./curl.js";
import { inOrder, inputOf } from "./inputs/index.js";
import { notesView, sourcesView } from "./notes.js";
import { chosen, state } from "./state.js";
import { timing } from "./timing.js";
import { html, nothing } from "./vendor/lit-html/lit-html.js";
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
    ${footer(head)}`;
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
    <p class="description">${head.description} ${figure(head)}</p>`;
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
    ${sourcesView(head)}
    <button type="button" class="run" ?disabled=${!state.input || state.loading} aria-busy=${state.busy || state.loading ? "true" : "false"} @click=${run}>
      ${state.busy ? "Running …" : "Run"}</button>`;
}

function answerPanel() {
  const { result } = state;
  return html`<h2 id="answer-title">Answer</h2>
    ${state.problem ? problemView(state.problem) : nothing}
    ${state.askKey ? keyForm() : nothing}
    ${result
      ? keyed(result, html`<div class="answer" data-family=${result.head.family}>${notesView(result.notes)}${answerView(result, state.shown)}</div>`)
      : state.problem ? nothing : html`<p class="empty muted">Press <strong>Run</strong> to send the input to the service.</p>`}`;
}

function problemView(problem) {
  return html`<article class="problem" role="alert">
    <h3>${problem.title || "No answer"}${problem.status ? html` <small>${problem.status}</small>` : nothing}</h3>
    <p>${problem.message}</p>
    ${problem.field ? html`<p>Field: <code>${problem.field}</code></p>` : nothing}
    ${problem.known?.length ? html`<p>Available: ${problem.known.map((name) => html`<code>${name}</code> `)}</p>` : nothing}
    ${notesView(problem.notes)}
    ${problem.retryAfterSeconds ? html`<p>Try again in ${problem.retryAfterSeconds} s.</p>` : nothing}
    ${problem.requestId ? html`<p class="note">request <code>${problem.requestId}</code></p>` : nothing}
  </article>`;
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
  const lines = curlLines(`${head.modality}/${head.task}`, state.input, Boolean(state.key));
  const text = lines.join("\n");
  return html`<div class="panels below">
    <section aria-labelledby="curl-title">
      <h2 id="curl-title">From a terminal</h2>
      <pre class="curl" tabindex="0"><code>${text}</code></pre>
      <button type="button" class="secondary outline copy" @click=${(event) => copy(text, event.currentTarget)}>Copy</button>
      ${state.key ? html`<button type="button" class="secondary outline copy" @click=${forgetKey}>Forget the API key</button>` : nothing}
    </section>
    <section aria-labelledby="time-title">
      <h2 id="time-title">Time</h2>
      ${state.result ? timing(state.result) : html`<p class="muted">Shown once there is an answer.</p>`}
    </section>
  </div>`;
}

async function copy(text, button) {
  // Browsers allow the clipboard on localhost and over https only; elsewhere, select the lines.
  if (!navigator.clipboard) return getSelection().selectAllChildren(button.previousElementSibling);
  await navigator.clipboard.writeText(text);
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
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
