/** The command that sends the same request from a terminal. */

import { address, predictPath } from "./api.js";

const LONGEST_JSON = 1500;

/** Lines for a POSIX shell; the key is in a variable, never in the line. */
export function curlLines(route, input, withKey, explain = false) {
  const url = quoted(address(predictPath(route, explain)));
  const key = withKey ? ` -H "Authorization: Bearer $OMNIVEC2_API_KEY"` : "";
  if (input?.json !== undefined) {
    const body = JSON.stringify({ inputs: input.json });
    const data = body.length > LONGEST_JSON ? "@inputs.json" : quoted(body);
    return [`curl${key} --json ${data} \\\n  ${url}`];
  }
  const name = input?.name ?? "FILE";
  const post = `curl${key} --data-binary ${quoted(`@${name}`)} \\\n  ${url}`;
  return input?.sample ? [`curl -O ${address(`try/samples/${input.sample.file}`)}`, post] : [post];
}

function quoted(text) {
  return /^[\w@./:-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
