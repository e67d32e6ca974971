// What a person said and the server has not yet confirmed. It is kept by the browser, one entry an event, so that
// neither a reload nor a server that is gone loses a label, and two tabs do not write over each other. The server
// keeps an event once however often it is sent: its id is made here. A browser's storage is one for all that was ever
// served at an address, so each entry says of which labels it is: another survey's wait until that one is served again.
// What the server says it can never keep is set aside, where the header shows it, and holds up nothing behind it.

const JOURNAL = document.documentElement.dataset.journal;
const WAITING = `adaptem-label:${JOURNAL}:`;
const REFUSED = `adaptem-refused:${JOURNAL}:`;
const AT_ONCE = 100;
const NEVER = [400, 413, 422]; // not understood, or too large: the same again would be answered the same
const [SOON_MS, LATEST_MS] = [300, 5000];

let last = 0;
let sending = false;
let waitMs = SOON_MS;
let atOnce = AT_ONCE;
let timer = 0;
const listeners = new Set();

function keys(prefix = WAITING) {
  return Object.keys(localStorage).filter((key) => key.startsWith(prefix)).sort();
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
  localStorage.setItem(`${WAITING}${last}:${id}`, JSON.stringify({ ...event, id }));
  tell();
  void flush();
}

// What was set aside: why, and the event where it can be read.
export function refused() {
  return keys(REFUSED).map((key) => {
    const { why, text } = read(localStorage.getItem(key)) ?? { why: "it cannot be read any more", text: "" };
    return { key, why, text, event: read(text) };
  });
}

export function sendAgain() {
  for (const { key, text } of refused()) {
    localStorage.setItem(WAITING + key.slice(REFUSED.length), text);
    localStorage.removeItem(key);
  }
  tell();
  void flush();
}

export function discard() {
  for (const { key } of refused()) localStorage.removeItem(key);
  tell();
}

function setAside(key, why) {
  const text = localStorage.getItem(key);
  if (text === null) return; // another tab has dealt with it
  localStorage.setItem(REFUSED + key.slice(WAITING.length), JSON.stringify({ why, text }));
  localStorage.removeItem(key);
}

function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
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
    for (let batch = keys().slice(0, atOnce); batch.length; batch = keys().slice(0, atOnce)) {
      if (!(await send(batch))) return later();
      waitMs = SOON_MS;
      tell();
    }
  } finally {
    sending = false;
  }
}

// Whether there is any use in going on at once.
async function send(batch) {
  const found = new Map();
  for (const key of batch) {
    const event = read(localStorage.getItem(key));
    if (event) found.set(event.id, { key, event });
    else setAside(key, "it cannot be read any more");
  }
  if (!found.size) return true;
  let answer;
  let told;
  try {
    answer = await fetch("/api/events", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ journal: JOURNAL, events: [...found.values()].map(({ event }) => event) }),
    });
    told = read(await answer.text());
  } catch {
    tell("the server does not answer");
    return false;
  }
  if (told?.kept) {
    const done = [...told.kept, ...told.refused.map(({ id }) => id)].filter((id) => found.has(id));
    for (const { id, why } of told.refused) if (found.has(id)) setAside(found.get(id).key, why);
    for (const id of told.kept) if (found.has(id)) localStorage.removeItem(found.get(id).key);
    atOnce = AT_ONCE;
    return done.length > 0;
  }
  if (NEVER.includes(answer.status)) {
    if (found.size > 1) atOnce = Math.ceil(found.size / 2); // which of them it is
    else for (const { key } of found.values()) setAside(key, `the server refused (${answer.status})`);
    return true;
  }
  const problems = { 401: "signed out: start adaptem review again and open its link", 409: "another survey is served here now" };
  tell(problems[answer.status] ?? `the server refused (${answer.status})`);
  return false;
}

// Earlier versions kept labels without saying of which survey they are. Those of this one are sent; all others stay.
async function adopt() {
  for (const key of Object.keys(localStorage).filter((each) => /^adaptem-label:\d+:/.test(each)).sort()) {
    const event = read(localStorage.getItem(key));
    if (!event) continue;
    try {
      const answer = await fetch("/api/events", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ journal: JOURNAL, events: [event] }),
      });
      if (read(await answer.text())?.kept?.includes(event.id)) localStorage.removeItem(key);
    } catch {
      return; // at the next page
    }
  }
}

addEventListener("online", () => void flush());
addEventListener("focus", () => void flush());
void flush();
void adopt();
