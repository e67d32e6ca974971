// What a person said and the server has not yet confirmed. It is kept by the browser, one entry an event, so that
// neither a reload nor a server that is gone loses a label, and two tabs do not write over each other. The server
// keeps an event once however often it is sent: its id is made here.

const PREFIX = "adaptem-label:";
const AT_ONCE = 100;
const [SOON_MS, LATEST_MS] = [300, 5000];

let last = 0;
let sending = false;
let waitMs = SOON_MS;
let timer = 0;
const listeners = new Set();

function keys() {
  return Object.keys(localStorage).filter((key) => key.startsWith(PREFIX)).sort();
}

function tell(problem = "") {
  const waiting = keys().length;
  for (const listener of listeners) listener(waiting, problem);
}

export function whenChanged(listener) {
  listeners.add(listener);
  listener(keys().length, "");
}

export function isEmpty() {
  return keys().length === 0;
}

export function add(event) {
  // Sorted by when they were made, also within one millisecond and after a reload.
  last = Math.max(last + 1, Date.now() * 1000);
  const id = newId();
  localStorage.setItem(`${PREFIX}${last}:${id}`, JSON.stringify({ ...event, id }));
  tell();
  void flush();
}

// Over http only loopback is a secure context, where randomUUID is; --allow-remote has none.
export function newId() {
  if (crypto.randomUUID) return crypto.randomUUID();
  const hex = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(() => void flush(), waitMs);
  waitMs = Math.min(waitMs * 2, LATEST_MS);
}

export async function flush() {
  if (sending) return;
  sending = true;
  try {
    for (let batch = keys().slice(0, AT_ONCE); batch.length; batch = keys().slice(0, AT_ONCE)) {
      if (!(await send(batch))) return later();
      waitMs = SOON_MS;
      tell();
    }
  } finally {
    sending = false;
  }
}

async function send(batch) {
  const events = batch.map((key) => localStorage.getItem(key)).filter(Boolean).map((text) => JSON.parse(text));
  let answer;
  try {
    answer = await fetch("/api/events", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ events }),
    });
  } catch {
    tell("the server does not answer");
    return false;
  }
  if (!answer.ok) {
    tell(answer.status === 401 ? "signed out: start adaptem review again and open its link" : `the server refused (${answer.status})`);
    return false;
  }
  const kept = new Set((await answer.json()).kept);
  batch.filter((key) => kept.has(key.slice(key.indexOf(":", PREFIX.length) + 1))).forEach((key) => localStorage.removeItem(key));
  return true;
}

addEventListener("online", () => void flush());
addEventListener("focus", () => void flush());
void flush();
