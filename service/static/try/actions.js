/** What the page does when its user does something. */

import { get, getFile, predict, Problem } from "./api.js";
import { inputOf } from "./inputs/index.js";
import { chosen, set, state } from "./state.js";

const RETRY_MILLISECONDS = 2000;
const FRESH_MILLISECONDS = 15_000;

let asked = 0; // when the models were listed
let running = new AbortController();

/** List models and samples; while there is none, try again. */
export async function start() {
  try {
    const samples = state.samples.length ? state.samples : (await get("try/samples")).samples;
    const { models } = await get("models", state.key);
    asked = performance.now();
    set({ samples, models, unreachable: "" });
    if (models.length) return followAddress();
    set({ unreachable: "The models are still loading." });
  } catch (error) {
    if (error.status === 401) return set({ askKey: true, problem: error });
    set({ unreachable: error instanceof Problem ? `No models: ${error.message}.` : String(error) });
  }
  setTimeout(start, RETRY_MILLISECONDS);
}

/** List the models again if that was long ago: heads come and go while a service runs. */
export async function refresh() {
  if (!state.models?.length || performance.now() - asked < FRESH_MILLISECONDS) return;
  asked = performance.now();
  const listed = await get("models", state.key).catch(() => null);
  if (!listed?.models.length) return;
  set({ models: listed.models });
  if (!chosen()) await followAddress();
}

/** Choose what `#modality/task` names; the first there is if it names nothing that is loaded. */
export async function followAddress() {
  if (!state.models?.length) return;
  const [modality, task] = decodeURIComponent(location.hash.slice(1)).split("/");
  const heads = state.models.filter((m) => m.modality === modality);
  const head = heads.find((m) => m.task === task) ?? heads.find(readable) ?? heads[0] ?? first();
  const before = chosen();
  if (head === before) return;
  running.abort();
  set({ modality: head.modality, task: head.task, result: null, problem: null, busy: false });
  // An input that the next head takes too is kept: the same picture, another question.
  const keep = before && head.modality === before.modality && alike(before, head) && state.input;
  if (keep && (!state.input.sample || suits(state.input.sample, head))) return;
  const [sample] = samplesOf(head);
  await (sample ? useSample(sample) : useInput(inputOf(head).empty?.(head) ?? null));
}

/** The samples that a head can be asked about: those meant for it, or else any it can read. */
export function samplesOf(head) {
  const meant = state.samples.filter((sample) => suits(sample, head));
  if (meant.length || inputOf(head).empty) return meant;
  return state.samples.filter((sample) => sample.modality === head.modality);
}

export async function useSample(sample) {
  const head = chosen();
  try {
    const file = await getFile(`try/samples/${sample.file}`, sample.file);
    if (chosen()?.name === head.name) await useFile(file, sample);
  } catch (error) {
    set({ problem: error });
  }
}

/** Take a file; inputs that can be edited become what their editor shows. */
export async function useFile(file, sample) {
  const head = chosen();
  const typed = await inputOf(head).fromFile?.(file, head);
  await useInput({ name: file.name, sample, ...(typed ?? { file }) });
}

/** Take what will be sent, and decode it for the eye. */
export async function useInput(input) {
  const head = chosen();
  running.abort();
  const old = state.shown;
  // What is typed changes its drawing in place; another file has nothing to do with the last.
  set({ input, shown: input?.file ? null : old, result: null, problem: null, busy: false });
  let shown = null;
  try {
    shown = input && (await inputOf(head).show(input, head));
  } catch {
    // What a browser cannot read, the service may; it is sent all the same.
  }
  if (state.input !== input) return;
  if (old?.url) URL.revokeObjectURL(old.url);
  set({ shown: shown ?? (input?.file ? { kind: "file", file: input.file } : null) });
}

/** Ask the service. */
export async function run() {
  if (!state.input || state.busy) return;
  const head = chosen();
  const input = state.input;
  running = new AbortController();
  const { signal } = running;
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
  set({ key, problem: null });
  if (!state.models?.length) start();
  else run();
}

export function forgetKey() {
  sessionStorage.removeItem("omnivec2-key");
  set({ key: "" });
}

function first() {
  return state.models.find(readable) ?? state.models[0];
}

// An answer that can be read is a better greeting than a vector.
function readable(head) {
  return head.family !== "embedding";
}

function suits(sample, head) {
  const wanted = Object.entries(sample.parameters ?? {});
  return (
    sample.modality === head.modality &&
    (!sample.tasks || sample.tasks.includes(head.task)) &&
    wanted.every(([name, value]) => head.preprocess.parameters[name] === value)
  );
}

function alike(one, other) {
  const columns = (head) => JSON.stringify(head.preprocess.parameters.columns ?? head.preprocess.parameters.pair);
  return columns(one) === columns(other);
}
