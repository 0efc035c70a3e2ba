/** A client of the service's public HTTP API. */

import { eventsOf } from "./events.js";
import { inputNotes } from "./notes.js";

const LOST = "the connection was lost before the answer was complete";

/** The reason why there is no answer: a problem document of the service (RFC 9457), or a network failure. */
export class Problem extends Error {
  constructor(status, body, headers = new Headers()) {
    super(body.detail ?? "the service gave no reason");
    this.status = status;
    this.title = body.title ?? "";
    this.field = body.field ?? "";
    this.known = body.known ?? [];
    this.notes = body.notes ?? [];
    this.retryAfterSeconds = Number(headers.get("Retry-After")) || 0;
    this.requestId = headers.get("X-Request-ID") ?? "";
  }
}

/** The address of a path of the service, also where a proxy serves it below a prefix. */
export function address(path) {
  return new URL(path, document.baseURI.split("#")[0]).href;
}

/** Get the JSON document of a path. Throws a Problem. */
export async function get(path, key) {
  return bodyOf(await send(path, { headers: authorization(key) }), "json");
}

/** Get the file of a path. Throws a Problem. */
export async function getFile(path, name) {
  const blob = await bodyOf(await send(path, {}), "blob");
  return new File([blob], name, { type: blob.type });
}

/**
 * Send an input to a head. Returns {answer, explanations, timings: [{stage, milliseconds}], milliseconds, model, …};
 * explanations only if `explain` asks for them. With `onPart`, parts of the answer come while the rest
 * is computed: onPart({name, index, count, answer}). Throws a Problem, or an AbortError.
 */
export async function predict(route, input, key, signal, explain = false, onPart = null) {
  const json = input.json !== undefined;
  const headers = {
    // The service detects a file type from the content, a browser only from the name.
    "Content-Type": json ? "application/json" : "application/octet-stream",
    ...authorization(key),
    ...(onPart ? { Accept: "text/event-stream" } : {}),
  };
  const body = json ? JSON.stringify({ inputs: input.json }) : input.file;
  const started = performance.now();
  const response = await send(predictPath(route, explain), { method: "POST", headers, body, signal });
  const streams = response.headers.get("Content-Type")?.startsWith("text/event-stream");
  const { content, details } = streams
    ? await streamed(response, onPart)
    : { content: await bodyOf(response, "json"), details: response.headers };
  return {
    ...(explain ? content : { answer: content }),
    milliseconds: performance.now() - started,
    timings: serverTiming(details.get("Server-Timing") ?? ""),
    model: details.get("X-Model") ?? "",
    version: details.get("X-Model-Version") ?? "",
    requestId: response.headers.get("X-Request-ID") ?? "",
    notes: inputNotes(details.get("X-Notes") ?? ""),
  };
}

/** Read a stream to its last event: the whole answer, and the headers that it has without a stream. */
async function streamed(response, onPart) {
  try {
    for await (const { name, data } of eventsOf(response)) {
      if (name === "answer") return { content: data.answer, details: new Headers(data.headers) };
      if (name === "error") throw new Problem(data.status, data, response.headers);
      onPart({ name, ...data });
    }
  } catch (error) {
    throw error instanceof Problem ? error : asProblem(error, LOST);
  }
  throw new Problem(0, { title: "No connection", detail: LOST });
}

/** The path that answers with a head. */
export function predictPath(route, explain = false) {
  return `predict/${route}${explain ? "?explain=true" : ""}`;
}

/** "decode;dur=1.2, queue;dur=0.1" -> [{stage, milliseconds}] */
export function serverTiming(header) {
  return [...header.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, stage, duration]) => ({
    stage,
    milliseconds: Number(duration),
  }));
}

function authorization(key) {
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function send(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    throw asProblem(error, "the service cannot be reached");
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({ title: response.statusText }));
  throw new Problem(response.status, body, response.headers);
}

/** Read a response's body: `form` is "json" or "blob". */
async function bodyOf(response, form) {
  try {
    return await response[form]();
  } catch (error) {
    throw asProblem(error, LOST);
  }
}

/** A failure of the network as a Problem; an AbortError is passed on. */
function asProblem(error, detail) {
  return error.name === "AbortError" ? error : new Problem(0, { title: "No connection", detail });
}
