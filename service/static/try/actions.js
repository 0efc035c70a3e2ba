/** The actions of the page's user. */

import { get, getFile, predict, Problem } from "./api.js";
import { attempts } from "./attempts.js";
import { inputOf } from "./inputs/index.js";
import { chosen, set, state } from "./state.js";

const RETRY_MILLISECONDS = 2000;
const FRESH_MILLISECONDS = 15_000;

const beginListing = attempts(); // of the models
const beginChoice = attempts(); //  of a head or an input
let listedAt = 0; //                 milliseconds, on the clock of performance.now()
let retry;
let request = new AbortController();

/** List models and samples; repeat until there are models. */
export async function start() {
  const isLast = beginListing();
  clearTimeout(retry);
  try {
    const samples = state.samples.length ? state.samples : (await get("try/samples")).samples;
    const { models } = await get("models", state.key);
    if (!isLast()) return;
    listedAt = performance.now();
    set({ samples, models, unreachable: "", askKey: false });
    if (models.length) return followAddress();
    set({ unreachable: "The models are still loading." });
  } catch (error) {
    if (!isLast()) return;
    if (error.status === 401) return set({ askKey: true, problem: error });
    set({ unreachable: error instanceof Problem ? `No models: ${error.message}.` : String(error) });
  }
  retry = setTimeout(start, RETRY_MILLISECONDS);
}

/** List the models again if the list is old: heads are added and removed while a service runs. */
export async function refresh() {
  if (!state.models?.length || performance.now() - listedAt < FRESH_MILLISECONDS) return;
  listedAt = performance.now();
  const isLast = beginListing();
  const listed = await get("models", state.key).catch(() => null);
  if (!isLast() || !listed?.models.length) return;
  set({ models: listed.models });
  if (!chosen()) await followAddress();
}

/** Choose the head that `#modality/task` names, or the first one if it names none that is loaded. */
export async function followAddress() {
  if (!state.models?.length) return;
  const [modality, task] = decodeURIComponent(location.hash.slice(1)).split("/");
  const heads = state.models.filter((m) => m.modality === modality);
  const head = heads.find((m) => m.task === task) ?? heads.find(isReadable) ?? heads[0] ?? firstHead();
  const before = chosen();
  if (head === before) return;
  beginChoice();
  request.abort();
  const choice = { modality: head.modality, task: head.task, result: null, problem: null, busy: false, loading: null };
  // An input that the next head takes too is kept: the same picture, another task.
  if (before && !state.loading && state.input && accepts(head, before, state.input)) return set(choice);
  // Until its own input is there the head has none: that of another modality cannot be sent to it.
  const pending = state.loading?.sample;
  release(state.shown);
  set({ ...choice, input: null, shown: null });
  const sample = pending && suits(pending, head) ? pending : samplesOf(head)[0];
  await (sample ? useSample(sample) : useInput(inputOf(head).empty?.(head) ?? null));
}

/** The samples to offer for a head: those meant for it, or else any of its modality. */
export function samplesOf(head) {
  const meant = state.samples.filter((sample) => suits(sample, head));
  if (meant.length || inputOf(head).empty) return meant;
  return state.samples.filter((sample) => sample.modality === head.modality);
}

/** Make a sample of the service the input. */
export function useSample(sample) {
  return load(() => getFile(`try/samples/${sample.file}`, sample.file), sample);
}

/** Make a file of the user the input. */
export function useFile(file) {
  return load(async () => file);
}

/** Read a file and make it the input, unless something else is chosen meanwhile. */
async function load(read, sample) {
  const isLast = beginChoice();
  const head = chosen();
  request.abort();
  set({ loading: { sample }, busy: false, problem: null });
  let input;
  try {
    const file = await read();
    // Inputs that can be edited become what their editor shows.
    const edited = await inputOf(head).fromFile?.(file, head);
    input = { name: file.name, sample, ...(edited ?? { file }) };
  } catch (error) {
    if (isLast()) set({ loading: null, problem: error });
    return;
  }
  if (isLast()) await useInput(input);
}

/** Make `input` what will be sent, and decode it for display. */
export async function useInput(input) {
  beginChoice();
  const head = chosen();
  request.abort();
  const before = state.shown;
  // What is typed changes its drawing in place; another file has nothing to do with the last one.
  set({ input, shown: input?.file ? null : before, result: null, problem: null, busy: false, loading: null });
  let shown = null;
  try {
    shown = input && (await inputOf(head).show(input, head));
  } catch {
    // What a browser cannot read, the service may; it is sent all the same.
  }
  if (state.input === input) set({ shown: shown ?? (input?.file ? { kind: "file", file: input.file } : null) });
  else release(shown);
  if (state.shown !== before) release(before);
}

/** Send the input to the head. */
export async function run() {
  if (!state.input || state.busy || state.loading) return;
  const head = chosen();
  const input = state.input;
  request = new AbortController();
  const { signal } = request;
  set({ busy: true, problem: null });
  try {
    const result = await predict(`${head.modality}/${head.task}`, input, state.key, signal);
    if (signal.aborted) return;
    const previous = state.previous;
    set({ result: { ...result, head, input, previous }, busy: false, askKey: false });
    if (head.family === "embedding") {
      set({ previous: { name: `${head.modality}, ${input.name}`, vector: result.answer.flat(2) } });
    }
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    set({ result: null, problem: error, busy: false, askKey: state.askKey || error.status === 401 });
  }
}

/** Use an API key from now on; it is forgotten when the tab is closed. */
export function useKey(key) {
  sessionStorage.setItem("omnivec2-key", key);
  request.abort(); // what was sent with another key
  set({ key, problem: null, busy: false });
  if (!state.models?.length) start();
  else run();
}

export function forgetKey() {
  sessionStorage.removeItem("omnivec2-key");
  set({ key: "" });
}

function firstHead() {
  return state.models.find(isReadable) ?? state.models[0];
}

// An answer that can be read makes a better start than a vector.
function isReadable(head) {
  return head.family !== "embedding";
}

/** Whether a head takes an input that was chosen for another head. */
function accepts(head, other, input) {
  if (head.modality !== other.modality || layout(head) !== layout(other)) return false;
  return !input.sample || suits(input.sample, head);
}

function suits(sample, head) {
  const wanted = Object.entries(sample.parameters ?? {});
  return (
    sample.modality === head.modality &&
    (!sample.tasks || sample.tasks.includes(head.task)) &&
    wanted.every(([name, value]) => head.preprocess.parameters[name] === value)
  );
}

/** The form that a head's inputs have within their modality: a table's columns, one text or two. */
function layout(head) {
  return JSON.stringify(head.preprocess.parameters.columns ?? head.preprocess.parameters.pair);
}

/** Free the memory behind a preview that is no longer shown. */
function release(shown) {
  if (shown?.url) URL.revokeObjectURL(shown.url);
}
