/**
 * The requests of this session: the last ones, newest first. Answers and files stay in the memory
 * of the page; what lists them outlives a reload, in the tab's session storage. Nothing is uploaded.
 */

import { fragmentOf } from "./links.js";

const MOST = 12;
const STORED = "omnivec2-history";
const THUMBNAIL_PIXELS = 56;
const MOST_CHARACTERS = 40;

/** The requests of this tab before the page was loaded again, without answers and files. */
export function storedHistory() {
  try {
    const found = JSON.parse(sessionStorage.getItem(STORED) ?? "[]");
    return Array.isArray(found) ? found.filter(({ fragment }) => typeof fragment === "string").slice(0, MOST) : [];
  } catch {
    return [];
  }
}

/** The history with one more answer. */
export function withAnswer(history, result, shown, options) {
  const { head, input } = result;
  const entry = {
    fragment: fragmentOf(head, input, options),
    route: `${head.modality}/${head.task}`,
    name: named(input),
    label: labelOf(result),
    version: result.version,
    notes: (result.notes ?? []).map(({ code }) => code),
    thumbnail: thumbnail(shown),
    at: new Date().toISOString(),
    result,
  };
  const entries = [entry, ...history].slice(0, MOST);
  store(entries);
  return entries;
}

export function forgetHistory() {
  sessionStorage.removeItem(STORED);
  return [];
}

function store(entries) {
  const plain = entries.map(({ result, ...rest }) => rest);
  try {
    sessionStorage.setItem(STORED, JSON.stringify(plain));
  } catch {
    // The storage is full or switched off: the history is that of the page then.
  }
}

/** An input in a few words: typed text by its beginning, others by their names. */
export function named({ name, json, sample }) {
  if (sample || typeof json !== "string") return name;
  const text = [...json.trim()];
  return `“${text.slice(0, MOST_CHARACTERS).join("")}${text.length > MOST_CHARACTERS ? " …" : ""}”`;
}

/** An answer in a few words. */
export function labelOf({ answer, head }) {
  const first = Array.isArray(answer) ? answer.flat(2)[0] : undefined;
  if (typeof first === "string") return first;
  if (first?.label !== undefined && first.score !== undefined) return `${first.label} ${Math.round(100 * first.score)} %`;
  if (first?.value !== undefined) return `${first.label} ${Number(first.value.toPrecision(4))} ${first.unit}`;
  if (first?.summary_text) return first.summary_text;
  return head.family;
}

/** A small picture of an input, if its preview is a picture. */
function thumbnail(shown) {
  const [frame] = shown?.frames ?? [];
  if (!frame) return "";
  const scale = THUMBNAIL_PIXELS / Math.max(frame.width, frame.height);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(frame.width * scale));
  canvas.height = Math.max(1, Math.round(frame.height * scale));
  canvas.getContext("2d").drawImage(frame, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/jpeg", 0.7);
}
