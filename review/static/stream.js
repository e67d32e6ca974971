// One event stream a browser, however many tabs: six streams would fill the six connections that a browser has for a
// host, and the seventh tab would never load. The tab that holds the lock has the stream and passes on what it hears.
const channel = new BroadcastChannel("adaptem-stream");
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
  const answer = await fetch("/api/news");
  for (const { kind, id, body } of await answer.json()) hear(kind, id, body);
}

export async function listen(listener) {
  listeners.add(listener);
  await catchUp();
  const numbers = (id) => id.split("-").map(Number);
  const isNew = (id) => !last || numbers(id).some((number, at) => number > numbers(last)[at]);
  channel.addEventListener("message", ({ data }) => isNew(data.id) && hear(data.kind, data.id, JSON.parse(data.text)));
  if (!navigator.locks) return open(); // no secure context: --allow-remote over plain http
  void navigator.locks.request("adaptem-stream", () => {
    const source = open();
    return new Promise((leave) => addEventListener("pagehide", () => (source.close(), leave())));
  });
}
