// The service's API. Whatever happens to the network or the database, a request is tried again with
// the same token until it is answered: the service gives one vote one receipt, however often it is
// sent.

const API = new URL("../api/", import.meta.url);
const PATIENCE_MS = [500, 1000, 2000, 4000, 5000];
const MOST_TRIES = 120; // about ten minutes

export class Refusal extends Error {
  constructor(code, status) {
    super(code);
    this.code = code;
    this.status = status;
  }
}

const outage = new EventTarget();

/** Call `listener(isOut)` whenever the service goes away or comes back. */
export function onOutage(listener) {
  outage.addEventListener("change", (event) => listener(event.detail));
}

/** Post JSON; resolves to the answer, rejects with a `Refusal` that names why. */
export async function post(path, body = {}) {
  for (let tries = 0; tries < MOST_TRIES; tries += 1) {
    const answer = await attempt(path, body);
    if (answer !== null) {
      if (tries > 0) announce(false);
      return answer;
    }
    announce(true);
    await pause(PATIENCE_MS[Math.min(tries, PATIENCE_MS.length - 1)]);
  }
  throw new Refusal("trying_again", 0);
}

/** Return the answer, or null if the service could not be reached or could not store. */
async function attempt(path, body) {
  let response;
  let content;
  try {
    response = await fetch(new URL(path, API), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "same-origin",
    });
    content = await response.json();
  } catch {
    return null;
  }
  if (response.ok) return content;
  if (content.code === "store_unavailable" || (response.status >= 500 && !content.code)) return null;
  throw new Refusal(content.code ?? "bad_request", response.status);
}

function announce(isOut) {
  outage.dispatchEvent(new CustomEvent("change", { detail: isOut }));
}

function pause(duration_ms) {
  return new Promise((resolve) => setTimeout(resolve, duration_ms));
}
