/** The state of the page, in one object; a change renders the page again. */

import { storedHistory } from "./history.js";

export const state = {
  models: null, //        heads as GET /models lists them; null before the first answer
  samples: [], //         as GET /try/samples lists them
  unreachable: "", //     why there are no models
  modality: "",
  task: "",
  input: null, //         what will be sent: {name, file} or {name, json}, perhaps {sample}
  shown: null, //         the same, decoded for display: {kind, …} (see inputs/)
  loading: null, //       {sample} while a sample or a file is read that will be the input
  explain: false, //      whether the answer is to say what carried it
  busy: false, //         whether an answer is on its way
  parts: [], //           what has come of an answer that is on its way (see parts.js)
  result: null, //        {answer, timings, milliseconds, model, requestId} (see api.js)
  companion: "", //       the task of the head that answers beside the chosen one
  beside: null, //        what is shown beside the answer: {head, result, problem, shown, at}
  expected: "", //        the file that an address names, to be chosen again
  history: storedHistory(), // the requests of this session (see history.js)
  problem: null, //       why there is no answer (api.js: Problem)
  previous: null, //      the embedding before this one: {name, vector}
  key: sessionStorage.getItem("omnivec2-key") ?? "",
  askKey: false,
};

let draw = () => {};
let waiting = false;

/** Call `listener` after every change, once for changes made together. */
export function onChange(listener) {
  draw = listener;
}

export function set(changes) {
  Object.assign(state, changes);
  if (waiting) return;
  waiting = true;
  queueMicrotask(() => {
    waiting = false;
    draw();
  });
}

/** The chosen head, or undefined. */
export function chosen() {
  return state.models?.find((m) => m.modality === state.modality && m.task === state.task);
}
