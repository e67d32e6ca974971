// A blind batch: one place large, all of them small, and one key a verdict; or many at once (screen.js).
import { add, isEmpty, refused, whenChanged } from "./outbox.js";
import { makeScreen } from "./screen.js";

const ZOOMS = [1, 2, 4];
const CONTRASTS = { same: "same contrast for all", own: "contrast of its own" };
const VIEW = "adaptem-view"; // how this person likes to judge, from batch to batch
const byId = (id) => document.getElementById(id);

const batch = byId("desk").dataset.batch;
const items = [...byId("grid").children];
const given = earlier(); // deeds, in the order in which they were done: what u takes back, a sweep as one
let [at, zoom, contrast, since, leaving, strip, many] = [0, 1, "same", performance.now(), false, false, false];

// As the server has them from before this page was opened.
function earlier() {
  const deeds = new Map();
  const verdicts = items.flatMap((item) => {
    const all = JSON.parse(item.dataset.given);
    return all.map((one, index) => {
      const beneath = all[index - 1];
      return { item, order: one.order, deed: one.sweep ?? one.order, before: String(beneath?.verdict ?? ""), seen: beneath?.seen === false ? "no" : "" };
    });
  });
  for (const { deed, item, before, seen } of verdicts.sort((a, b) => a.order - b.order)) {
    if (!deeds.has(deed)) deeds.set(deed, []);
    deeds.get(deed).push({ item, before, seen });
  }
  return [...deeds.values()];
}

const here = () => items[at];
const picture = (item, view) => `/picture/${item.dataset.item}/${view}/${contrast}`;
// What was said before the picture came counts nowhere: it is to be said again. What has no picture cannot be judged.
const isDone = (item) => Boolean(item.dataset.missing || (item.dataset.verdict && item.dataset.seen !== "no"));
const left = () => items.filter((item) => !isDone(item)).length;
const isSeen = () => !byId("place").classList.contains("coming");

const screen = makeScreen({
  items, isDone, give, missing,
  at: () => at,
  go: (index) => go(index),
  picture: (item) => picture(item, "place"),
});

function say(kind, item, more = {}, shown = {}) {
  const lookedS = Math.round(performance.now() - since) / 1000;
  const how = { contrast, zoom: many ? 1 : zoom, looked_s: lookedS, seen: isSeen(), how: "single", view: many ? "screen" : "place" };
  add({ batch, item: item ? item.dataset.item : null, kind, ...more, shown: { ...how, ...shown } });
}

// Never the picture of one place under the number of another: it is hidden until its own has come.
function draw(id, source, words) {
  const image = byId(id);
  image.alt = words;
  if (image.getAttribute("src") === source) return;
  image.classList.add("coming");
  image.src = source;
}

function show() {
  for (const id of ["looking", "overall"]) byId(id).hidden = many;
  byId("screen").hidden = !many;
  document.body.dataset.view = many ? "screen" : "place";
  if (many) screen.show();
  else one();
  const open = left();
  const unseen = items.filter((item) => item.dataset.verdict && !isDone(item)).length;
  byId("progress").value = items.length - open;
  byId("progress-words").textContent = !open ? "all judged" : unseen ? `${open} left, ${unseen} of them said before the picture came` : `${open} left`;
  byId("done").hidden = open > 0;
}

function one() {
  const item = here();
  const number = at + 1;
  draw("place", picture(item, "place"), `Place ${number}`);
  draw("around", picture(item, "around"), `What lies around place ${number}`);
  byId("strip").hidden = !strip;
  if (strip) draw("channels", picture(item, "channels"), `Place ${number}, every detector`);
  byId("frame").className = `frame zoom${zoom}`;
  byId("counter").textContent = `Place ${number} of ${items.length}`;
  byId("settings").textContent = `${zoom}×, ${CONTRASTS[contrast]}`;
  byId("note-shown").textContent = item.dataset.note;
  for (const button of byId("looking").querySelectorAll("[data-verdict]"))
    button.setAttribute("aria-pressed", String(button.dataset.verdict === item.dataset.verdict));
  for (const next of [at + 1, at + 2]) if (next < items.length) new Image().src = picture(items[next], "place");
}

function go(index) {
  here().setAttribute("aria-selected", "false");
  here().tabIndex = -1;
  at = Math.min(Math.max(index, 0), items.length - 1);
  here().setAttribute("aria-selected", "true");
  here().tabIndex = 0;
  here().scrollIntoView({ block: "nearest" });
  since = performance.now();
  show();
}

function mark(item, verdict, seen = "") {
  item.dataset.verdict = verdict;
  item.dataset.seen = seen;
  item.querySelector(".mark").textContent = verdict && seen === "no" ? `${verdict}?` : verdict;
  const number = items.indexOf(item) + 1;
  item.setAttribute("aria-label", verdict ? `Place ${number}, judged ${verdict}` : `Place ${number}`);
}

// Several at once are one deed: one undo takes them back.
function give(verdicts) {
  given.push(verdicts.map(({ item }) => ({ item, before: item.dataset.verdict, seen: item.dataset.seen })));
  for (const { item, verdict, shown } of verdicts) {
    mark(item, String(verdict), shown.seen ? "" : "no"); // seen at once; saved as soon as the server can
    say("verdict", item, { verdict }, shown);
  }
  byId("next")?.remove();
  show();
}

function judge(verdict) {
  give([{ item: here(), verdict, shown: { seen: isSeen() } }]);
  const others = [...items.slice(at + 1), ...items.slice(0, at)];
  const after = others.find((other) => !other.dataset.verdict && !isDone(other)) ?? others.find((other) => !isDone(other));
  go(after ? items.indexOf(after) : at);
}

function undo() {
  const last = given.pop();
  if (!last) return;
  for (const { item, before, seen } of last) {
    mark(item, before, seen);
    say("undo", item);
  }
  go(items.indexOf(last[0].item));
}

function missing(item) {
  item.dataset.missing = "yes";
  show();
}

function lock() {
  if (left() || leaving) return;
  if (refused().some(({ event }) => event?.batch === batch)) return byId("refused").click(); // first say what becomes of it
  leaving = true;
  say("lock", null);
}

function columns() {
  if (many) return screen.columns();
  const top = items[0].offsetTop;
  const second = items.findIndex((item) => item.offsetTop !== top);
  return second < 0 ? items.length : second;
}

function write() {
  byId("note").value = here().dataset.note;
  byId("noting").showModal();
}

function turn() {
  many = !many;
  localStorage.setItem(VIEW, many ? "screen" : "place");
  go(at);
}

const actions = {
  u: undo,
  n: write,
  g: turn,
  z: () => ((zoom = ZOOMS[(ZOOMS.indexOf(zoom) + 1) % ZOOMS.length]), (many = false), show()),
  c: () => ((contrast = contrast === "same" ? "own" : "same"), show()),
  d: () => ((strip = many || !strip), (many = false), show()),
  "?": () => byId("help").showModal(),
  ArrowRight: () => go(at + 1),
  ArrowLeft: () => go(at - 1),
  ArrowDown: () => go(at + columns()),
  ArrowUp: () => go(at - columns()),
  PageDown: () => many && screen.page(1),
  PageUp: () => many && screen.page(-1),
  Home: () => go(0),
  End: () => go(items.length - 1),
  Enter: lock,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName)) return;
  if (event.key === "Enter" && ["BUTTON", "A"].includes(event.target.tagName)) return;
  if (leaving || (event.repeat && !event.key.startsWith("Arrow"))) return; // a key held down judges nothing twice
  const verdict = "12345".indexOf(event.key) + 1;
  if (many && screen.key(event.key)) return event.preventDefault();
  const action = verdict ? () => judge(verdict) : actions[event.key];
  if (!action) return;
  event.preventDefault();
  action();
});

byId("note").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.ctrlKey) byId("noting").close("keep");
});
byId("noting").addEventListener("close", () => {
  const text = byId("note").value.trim();
  const kept = byId("noting").returnValue === "keep" && text !== here().dataset.note;
  byId("noting").returnValue = "";
  if (!kept) return;
  here().dataset.note = text;
  say("note", here(), { text });
  show();
});
for (const button of document.querySelectorAll(".verdicts [data-verdict]"))
  button.addEventListener("click", () => (many ? screen.key(button.dataset.verdict) : judge(Number(button.dataset.verdict)), button.blur()));
for (const button of document.querySelectorAll("[data-tool]"))
  button.addEventListener("click", () => ((button.dataset.tool === "x" ? screen.sweep() : actions[button.dataset.tool]()), button.blur()));
for (const id of ["place", "around", "channels"]) {
  const image = byId(id);
  image.addEventListener("load", () => image.classList.remove("coming"));
  image.addEventListener("error", () => {
    const wanted = image.getAttribute("src");
    if (image.dataset.failed !== wanted) {
      image.dataset.failed = wanted;
      return setTimeout(() => image.getAttribute("src") === wanted && (image.src = wanted), 300); // a server that is busy is asked once more
    }
    byId("settings").textContent = "a picture cannot be had: its frame is missing or damaged";
    if (id === "place" && wanted === picture(here(), "place")) {
      here().dataset.missing = "yes";
      show();
      byId("settings").textContent = "its frame is missing or damaged, so it need not be judged: → goes on";
    }
  });
}
byId("lock").addEventListener("click", lock);
items.forEach((item, index) => item.addEventListener("click", () => go(index)));

// The reveal waits until the lock, and all before it, is on the server's disk.
whenChanged(() => leaving && isEmpty() && (location.href = `/batches/${batch}/result`));

items.forEach((item) => mark(item, item.dataset.verdict, item.dataset.seen));
many = localStorage.getItem(VIEW) === "screen";
const open = items.findIndex((item) => !isDone(item));
go(open < 0 ? 0 : open);
document.body.dataset.ready = "yes";
