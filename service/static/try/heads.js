/** Which heads, inputs and samples go together. */

import { inputOf } from "./inputs/index.js";
import { chosen, state } from "./state.js";

/** The head to begin with. */
export function firstHead() {
  return state.models.find(isReadable) ?? state.models[0];
}

/** Whether people can read a head's answer: it makes a better start than a vector. */
export function isReadable(head) {
  return head.family !== "embedding";
}

/** Whether a head takes an input that was chosen for another head. */
export function accepts(head, other, input) {
  if (head.modality !== other.modality || layout(head) !== layout(other)) return false;
  return !input.sample || suits(input.sample, head);
}

/** Whether a sample is meant for a head. */
export function suits(sample, head) {
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

/** The samples to offer for a head: those meant for it, or else any of its modality. */
export function samplesOf(head) {
  const meant = state.samples.filter((sample) => suits(sample, head));
  if (meant.length || inputOf(head).empty) return meant;
  return state.samples.filter((sample) => sample.modality === head.modality);
}

/** The heads that take the same input as the chosen one. */
export function companions() {
  const head = chosen();
  return state.models.filter((other) => other !== head && accepts(other, head, state.input ?? {}));
}
