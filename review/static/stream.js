// One event stream a browser, however many tabs: six streams would fill the six connections that a browser has for a
// host, and the seventh tab would never load. The tab that holds the lock has the stream and passes on what it hears.
const channel = new BroadcastChannel("adaptem-stream");
const AGAIN_MS = 2000;
const listeners = new Set();
let last = "";

function hear(kind, id, body) {
  last = id;
  for (const listener of listeners) listener(kind, body, id);
}

function open() {
  const source = new EventSource(`/api/stream?after=${last}`);
  for (const kind of ["step", "event", "request"])
    source.addEventListener(kind, (event) => {
      channel.postMessage({ kind, id: event.lastEventId, text: event.data });
      hear(kind, event.lastEventId, JSON.parse(event.data));
    });
  document.body.dataset.stream = "yes";
  return source;
}

// What the holder of the stream hears may be far ahead of a tab that has just come: such a tab reads up to it first.
async function catchUp() {
  for (;;) {
    try {
      const answer = await fetch("/api/news");
      if (!answer.ok) throw new Error(String(answer.status));
      for (const { kind, id, body } of await answer.json()) hear(kind, id, body);
      return;
    } catch {
      await new Promise((again) => setTimeout(again, AGAIN_MS));
    }
  }
}

export async function listen(listener) {
  listeners.add(listener);
  const numbers = (id) => id.split("-").map(Number);
  const isNew = (id) => !last || numbers(id).some((number, at) => number > numbers(last)[at]);
  const take = ({ kind, id, text }) => isNew(id) && hear(kind, id, JSON.parse(text));
  let early = []; // heard while what came before it is still being read: neither lost nor told before its turn
  channel.addEventListener("message", ({ data }) => (early ? early.push(data) : take(data)));
  await catchUp();
  early.forEach(take);
  early = null;
  if (!navigator.locks) return open(); // no secure context: --allow-remote over plain http
  void navigator.locks.request("adaptem-stream", () => {
    const source = open();
    return new Promise((leave) => addEventListener("pagehide", () => (source.close(), leave())));
  });
}
