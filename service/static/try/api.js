/** The service's public HTTP API, as any other caller sees it. */

/** Why there is no answer: the service's problem document (RFC 9457), or the network's failure. */
export class Problem extends Error {
  constructor(status, body, headers = new Headers()) {
    super(body.detail ?? "the service gave no reason");
    this.status = status;
    this.title = body.title ?? "";
    this.field = body.field ?? "";
    this.known = body.known ?? [];
    this.retryAfterSeconds = Number(headers.get("Retry-After")) || 0;
    this.requestId = headers.get("X-Request-ID") ?? "";
  }
}

/** The address of a path of the service, also where a proxy serves it below a prefix. */
export function address(path) {
  return new URL(path, document.baseURI.split("#")[0]).href;
}

/** JSON of a path. Throws a Problem. */
export async function get(path, key) {
  return (await ask(path, { headers: authorization(key) })).json();
}

/** A file of a path. Throws a Problem. */
export async function getFile(path, name) {
  const blob = await (await ask(path, {})).blob();
  return new File([blob], name, { type: blob.type });
}

/** Ask a head: {answer, timings: [{stage, milliseconds}], milliseconds, model, …}. Throws a Problem. */
export async function predict(route, input, key, signal) {
  const json = input.json !== undefined;
  const headers = {
    // The service tells a file's type from its content better than a browser from its name.
    "Content-Type": json ? "application/json" : "application/octet-stream",
    ...authorization(key),
  };
  const body = json ? JSON.stringify({ inputs: input.json }) : input.file;
  const started = performance.now();
  const response = await ask(`predict/${route}`, { method: "POST", headers, body, signal });
  const answer = await response.json();
  return {
    answer,
    milliseconds: performance.now() - started,
    timings: serverTiming(response.headers.get("Server-Timing") ?? ""),
    model: response.headers.get("X-Model") ?? "",
    version: response.headers.get("X-Model-Version") ?? "",
    requestId: response.headers.get("X-Request-ID") ?? "",
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

async function ask(path, options) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { title: "No connection", detail: "the service cannot be reached" });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({ title: response.statusText }));
  throw new Problem(response.status, body, response.headers);
}
