/**
 * Addresses that reproduce a request: #modality/task?sample=…&explain=true&compare=task.
 *
 * All of it is behind the #, which browsers do not send. A sample is named, typed input is written
 * out, and of a file of one's own only the name: who opens the link chooses the file again.
 */

const LONGEST_JSON = 8000;

/** The part of an address behind the #, read. */
export function parseFragment(fragment) {
  const [path, query = ""] = fragment.replace(/^#/, "").split("?", 2);
  const [modality = "", task = ""] = decoded(path).split("/");
  const parameters = new URLSearchParams(query);
  return {
    modality,
    task,
    sample: parameters.get("sample") ?? "",
    json: parsed(parameters.get("json")),
    file: parameters.get("file") ?? "",
    explain: parameters.get("explain") === "true",
    compare: parameters.get("compare") ?? "",
  };
}

/** The fragment of a request; the same for the same request. */
export function fragmentOf({ modality, task }, input, { explain = false, compare = "" } = {}) {
  const parameters = new URLSearchParams();
  const typed = input?.json === undefined ? "" : JSON.stringify(input.json);
  if (input?.sample) parameters.set("sample", input.sample.file);
  else if (typed && typed.length <= LONGEST_JSON) parameters.set("json", typed);
  else if (input) parameters.set("file", input.name);
  if (explain) parameters.set("explain", "true");
  if (compare) parameters.set("compare", compare);
  const query = parameters.toString();
  return `#${modality}/${task}${query ? `?${query}` : ""}`;
}

/** Whether a value that came with a link has the form of those that an editor makes. */
export function isLike(value, example) {
  if (typeof value !== typeof example || example === undefined || value === null) return false;
  if (Array.isArray(example)) return Array.isArray(value) && value.length > 0 && isLike(value[0], example[0]);
  if (typeof example !== "object") return true;
  return !Array.isArray(value) && Object.keys(example).every((key) => key in value && (value[key] === null || typeof value[key] !== "object"));
}

function decoded(path) {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** The value of a JSON text that somebody may have edited; undefined if it is none. */
function parsed(text) {
  if (text === null) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
