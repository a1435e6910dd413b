// The public API, as any other client would call it.

import { endSession, session } from "./session.js";

const ROOT = new URL("../v1/", document.baseURI);
const READ_ATTEMPTS = 3;
// A quarter of an hour of an API that adds up twenty seconds at a time.
const ROUNDS_MAX = 45;
const WAIT_SECONDS_MAX = 4;
const TIMEOUT_MS = 35_000;

// What went wrong, in the terms of someone who has to do something about it.
class ApiError extends Error {
  constructor(kind, facts = {}) {
    super(facts.message ?? kind);
    this.kind = kind;
    Object.assign(this, { status: 0, details: {}, requestId: null, retryAfter: null }, facts);
  }
}

const KINDS = { 400: "invalid", 401: "signed_out", 403: "forbidden", 404: "missing", 409: "conflict", 413: "invalid" };
const kindOf = (status, type) =>
  KINDS[status] ?? (status === 429 ? (type === "rate_limit_error" ? "busy" : "refused") : "unavailable");

export const get = (path, query) => reading(() => send("GET", path, { query }));
// What takes long is added up over several requests, each of which goes on where the one before it
// stopped. `still` hears how far each came, and says whether somebody waits for it any more.
export const getLong = (path, query, still) => patiently(() => send("GET", path, { query }), still);
// The same with its tag: a change that names the tag is made only if nothing has changed since.
export const getTagged = (path, query) => reading(() => send("GET", path, { query, tagged: true }));
export const put = (path, body, tag) => send("PUT", path, { body, tag });
export const remove = (path, tag) => send("DELETE", path, { tag });

// A file, or `{ url }` where one that is too large for an answer waits: a script may not read it there.
export const file = (path, query, accept) => patiently(() => send("GET", path, { query, accept, asFile: true }));

// `keys` makes a repeat the same request while it is not known what came of it, and a new one after
// an answer. `about` tells apart what is meant by equal bodies.
export async function post(path, body, keys, { about = body, tag } = {}) {
  try {
    const answer = await send("POST", path, { body, key: keys.of(about), tag });
    keys.drop(about);
    return answer;
  } catch (error) {
    if (!["network", "unavailable"].includes(error.kind)) keys.drop(about);
    throw error;
  }
}

// Idempotency keys, one for each different thing that is asked for.
export function keyring() {
  const keys = new Map();
  return {
    of(about) {
      const text = JSON.stringify(about);
      if (!keys.has(text)) keys.set(text, crypto.randomUUID());
      return keys.get(text);
    },
    drop: (about) => keys.delete(JSON.stringify(about)),
  };
}

async function reading(attempt) {
  for (let attempts = 1; ; attempts += 1) {
    try {
      return await attempt();
    } catch (error) {
      const wait = error.retryAfter ?? attempts * 0.4;
      const hopeful = ["network", "busy", "unavailable"].includes(error.kind) && wait <= WAIT_SECONDS_MAX;
      if (!hopeful || attempts === READ_ATTEMPTS) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait * 1000));
    }
  }
}

async function patiently(attempt, still = () => true) {
  for (let rounds = 1; ; rounds += 1) {
    try {
      return await attempt();
    } catch (error) {
      const goesOn = error.status === 503 ? rounds < ROUNDS_MAX : error.kind === "network" && rounds < READ_ATTEMPTS;
      if (!goesOn || !still(error.details)) throw error;
      await new Promise((resolve) => setTimeout(resolve, (error.retryAfter ?? 1) * 1000));
    }
  }
}

async function send(method, path, { query = {}, body, key, tag, accept, asFile = false, tagged = false } = {}) {
  const address = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) if (each !== null && each !== undefined) address.searchParams.append(name, each);
  }
  const answer = await request(address, {
    method,
    headers: {
      authorization: `Bearer ${session()?.token ?? ""}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...(key ? { "idempotency-key": key } : {}),
      ...(tag ? { "if-match": tag } : {}),
      ...(accept ? { accept } : {}),
      ...(asFile ? { prefer: "no-redirect" } : {}),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
    cache: "no-store",
  });
  const isFile = asFile && !answer.headers.has("preference-applied");
  if (answer.ok && tagged) return [await answer.json(), answer.headers.get("etag")];
  if (answer.ok) return isFile ? answer.blob() : answer.json();
  throw await failure(answer);
}

async function request(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    throw new ApiError("network", { message: error.message });
  }
}

async function failure(answer) {
  const { error = {}, request_id: requestId } = await answer.json().catch(() => ({}));
  const kind = kindOf(answer.status, error.type);
  if (kind === "signed_out") {
    endSession();
    window.dispatchEvent(new Event("signed-out"));
  }
  return new ApiError(kind, {
    status: answer.status,
    message: error.message,
    details: error.details ?? {},
    requestId: requestId ?? answer.headers.get("request-id"),
    retryAfter: Number(answer.headers.get("retry-after")) || null,
  });
}
