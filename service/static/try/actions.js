/** The actions of the page's user. */

import { get, getFile, predict, Problem } from "./api.js";
import { attempts } from "./attempts.js";
import { accepts, companions, firstHead, isReadable, samplesOf, suits } from "./heads.js";
import { forgetHistory, withAnswer } from "./history.js";
import { inputOf } from "./inputs/index.js";
import { isLike, parseFragment } from "./links.js";
import { givesParts, withPart } from "./parts.js";
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

/**
 * Choose the head that `#modality/task` names, or the first one if it names none that is loaded, and
 * the input of a link that reproduces a request (see links.js).
 */
export async function followAddress() {
  if (!state.models?.length) return;
  const wanted = parseFragment(location.hash);
  const { modality, task } = wanted;
  const heads = state.models.filter((m) => m.modality === modality);
  const head = heads.find((m) => m.task === task) ?? heads.find(isReadable) ?? heads[0] ?? firstHead();
  const before = chosen();
  const useWanted = head.modality === modality && head.task === task ? inputOfLink(head, wanted) : null;
  if (head === before && !useWanted) return;
  beginChoice();
  request.abort();
  releaseBeside();
  const choice = {
    modality: head.modality, task: head.task, result: null, parts: [], problem: null, busy: false, loading: null,
    companion: "", expected: "", explain: wanted.explain || state.explain,
  };
  if (useWanted) {
    release(state.shown);
    set({ ...choice, input: null, shown: null, explain: wanted.explain });
    await useWanted();
    if (companions().some((other) => other.task === wanted.compare)) set({ companion: wanted.compare });
    return;
  }
  // An input that the next head takes too is kept: the same picture, another task.
  if (before && !state.loading && state.input && accepts(head, before, state.input)) return set(choice);
  // Until its own input is there the head has none: that of another modality cannot be sent to it.
  const pending = state.loading?.sample;
  release(state.shown);
  set({ ...choice, input: null, shown: null });
  const sample = pending && suits(pending, head) ? pending : samplesOf(head)[0];
  await (sample ? useSample(sample) : useInput(inputOf(head).empty?.(head) ?? null));
}

/** What makes the input of a link the input of the page; null if the link has none that fits. */
function inputOfLink(head, { sample, json, file }) {
  const found = state.samples.find((one) => one.file === sample && one.modality === head.modality);
  if (found) return () => useSample(found);
  if (json !== undefined && isLike(json, inputOf(head).empty?.(head).json)) return () => useInput({ name: "typed input", json });
  if (!file) return null;
  return async () => {
    await useInput(inputOf(head).empty?.(head) ?? null);
    set({ expected: file });
  };
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
  set({ loading: { sample }, parts: [], busy: false, problem: null });
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
  releaseBeside();
  set({ input, shown: input?.file ? null : before, result: null, parts: [], problem: null, busy: false, loading: null, expected: "" });
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
  releaseBeside();
  set({ busy: true, problem: null, parts: [] });
  const other = companions().find(({ task }) => task === state.companion);
  if (other) askBeside(other, input, signal);
  try {
    const explain = state.explain && head.explainable === true;
    let parts = [];
    const onPart = (part) => {
      parts = withPart(parts, part);
      if (!signal.aborted) set({ parts });
    };
    const result = await predict(`${head.modality}/${head.task}`, input, state.key, signal, explain, givesParts(head) && !explain ? onPart : null);
    if (signal.aborted) return;
    const previous = state.previous;
    set({ result: { ...result, head, input, previous, windows: parts }, parts: [], busy: false, askKey: false });
    remember(state.result, explain);
    if (head.family === "embedding") {
      set({ previous: { name: `${head.modality}, ${input.name}`, vector: result.answer.flat(2) } });
    }
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    set({ result: null, parts: [], problem: error, busy: false, askKey: state.askKey || error.status === 401 });
  }
}

/** Send the input to a second head, whose answer is shown beside that of the first. */
async function askBeside(head, input, signal) {
  const explain = state.explain && head.explainable === true;
  set({ beside: { head } });
  try {
    const result = await predict(`${head.modality}/${head.task}`, input, state.key, signal, explain);
    if (signal.aborted) return;
    const whole = { ...result, head, input };
    set({ beside: { head, result: whole } });
    remember(whole, explain);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof Problem)) throw error;
    set({ beside: { head, problem: error } });
  }
}

function remember(result, explain) {
  const compare = result.head === chosen() ? state.companion : "";
  set({ history: withAnswer(state.history, result, state.shown, { explain, compare }) });
}

/** Choose the head that answers beside the chosen one, by its task; "" for none. */
export function useCompanion(task) {
  releaseBeside();
  set({ companion: task });
}

/** Show an earlier answer beside the present one: of another input, head or version. */
export async function showBeside({ result, at }) {
  const { head, input } = result;
  const present = state.result;
  const shown = input === state.input ? null : await inputOf(head).show(input, head).catch(() => null);
  if (state.result !== present) return release(shown);
  releaseBeside();
  set({ beside: { head, result, shown, at } });
}

export function hideBeside() {
  releaseBeside();
}

/** Open a request of this session again, with its answer if the page still has it. */
export async function reopen({ fragment, result }) {
  const head = result && state.models.find(({ modality, task }) => modality === result.head.modality && task === result.head.task);
  if (!head) {
    if (location.hash === fragment) return followAddress();
    location.hash = fragment;
    return undefined;
  }
  history.replaceState(null, "", fragment);
  set({ modality: head.modality, task: head.task, companion: "" });
  await useInput(result.input);
  if (state.input === result.input) set({ result });
  return undefined;
}

export function forgetSession() {
  set({ history: forgetHistory() });
}

/** Take away what is shown beside the answer. */
function releaseBeside() {
  release(state.beside?.shown);
  if (state.beside) set({ beside: null });
}

/** Whether the next answers are to say what carried them. */
export function useExplain(explain) {
  set({ explain });
}

/** Use an API key from now on; it is forgotten when the tab is closed. */
export function useKey(key) {
  sessionStorage.setItem("omnivec2-key", key);
  request.abort(); // what was sent with another key
  set({ key, parts: [], problem: null, busy: false });
  if (!state.models?.length) start();
  else run();
}

export function forgetKey() {
  sessionStorage.removeItem("omnivec2-key");
  set({ key: "" });
}

/** Free the memory behind a preview that is no longer shown. */
function release(shown) {
  if (shown?.url) URL.revokeObjectURL(shown.url);
}
