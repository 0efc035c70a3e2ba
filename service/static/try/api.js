/** A client of the service's public HTTP API. */

import { inputNotes } from "./notes.js";

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
 * Send an input to a head. Returns {answer, timings: [{stage, milliseconds}], milliseconds, model, …}.
 * Throws a Problem, or an AbortError.
 */
export async function predict(route, input, key, signal) {
  const json = input.json !== undefined;
  const headers = {
    // The service detects a file type from the content, a browser only from the name.
    "Content-Type": json ? "application/json" : "application/octet-stream",
    ...authorization(key),
  };
  const body = json ? JSON.stringify({ inputs: input.json }) : input.file;
  const started = performance.now();
  const response = await send(`predict/${route}`, { method: "POST", headers, body, signal });
  const answer = await bodyOf(response, "json");
  return {
    answer,
    milliseconds: performance.now() - started,
    timings: serverTiming(response.headers.get("Server-Timing") ?? ""),
    model: response.headers.get("X-Model") ?? "",
    version: response.headers.get("X-Model-Version") ?? "",
    requestId: response.headers.get("X-Request-ID") ?? "",
    notes: inputNotes(response.headers.get("X-Notes") ?? ""),
  };
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
    throw asProblem(error, "the connection was lost before the answer was complete");
  }
}

/** A failure of the network as a Problem; an AbortError is passed on. */
function asProblem(error, detail) {
  return error.name === "AbortError" ? error : new Problem(0, { title: "No connection", detail });
}
