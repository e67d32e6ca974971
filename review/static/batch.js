// A blind batch: one place large, all of them small, and one key a verdict.
import { add, isEmpty, refused, whenChanged } from "./outbox.js";

const ZOOMS = [1, 2, 4];
const CONTRASTS = { same: "same contrast for all", own: "contrast of its own" };
const byId = (id) => document.getElementById(id);

const batch = byId("desk").dataset.batch;
const items = [...byId("grid").children];
const given = items // in the order in which verdicts were given: what u takes back
  .filter((item) => item.dataset.verdict)
  .sort((a, b) => a.dataset.order - b.dataset.order)
  .map((item) => ({ item, before: "" }));
let [at, zoom, contrast, since, leaving, strip] = [0, 1, "same", performance.now(), false, false];

const here = () => items[at];
const judged = () => items.filter((item) => item.dataset.verdict).length;
const picture = (item, view) => `/picture/${item.dataset.item}/${view}/${contrast}`;

function say(kind, item, more = {}) {
  const lookedS = Math.round(performance.now() - since) / 1000;
  const seen = !byId("place").classList.contains("coming");
  add({ batch, item: item ? item.dataset.item : null, kind, ...more, shown: { contrast, zoom, looked_s: lookedS, seen } });
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
  for (const button of document.querySelectorAll("[data-verdict][aria-pressed]"))
    button.setAttribute("aria-pressed", String(button.dataset.verdict === item.dataset.verdict));
  const done = judged();
  byId("progress").value = done;
  byId("progress-words").textContent = done < items.length ? `${items.length - done} left` : "all judged";
  byId("done").hidden = done < items.length;
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

function mark(item, verdict) {
  item.dataset.verdict = verdict;
  item.querySelector(".mark").textContent = verdict;
  const number = items.indexOf(item) + 1;
  item.setAttribute("aria-label", verdict ? `Place ${number}, judged ${verdict}` : `Place ${number}`);
}

function judge(verdict) {
  const item = here();
  given.push({ item, before: item.dataset.verdict });
  mark(item, String(verdict)); // seen at once; saved as soon as the server can
  say("verdict", item, { verdict });
  if (byId("next")) byId("next").remove();
  const after = [...items.slice(at + 1), ...items.slice(0, at)].find((other) => !other.dataset.verdict);
  go(after ? items.indexOf(after) : at);
}

function undo() {
  const last = given.pop();
  if (!last) return;
  mark(last.item, last.before);
  say("undo", last.item);
  go(items.indexOf(last.item));
}

function lock() {
  if (judged() < items.length || leaving) return;
  if (refused().some(({ event }) => event?.batch === batch)) return byId("refused").click(); // first say what becomes of it
  leaving = true;
  say("lock", null);
}

function columns() {
  const top = items[0].offsetTop;
  const second = items.findIndex((item) => item.offsetTop !== top);
  return second < 0 ? items.length : second;
}

function write() {
  byId("note").value = here().dataset.note;
  byId("noting").showModal();
}

const actions = {
  u: undo,
  n: write,
  z: () => ((zoom = ZOOMS[(ZOOMS.indexOf(zoom) + 1) % ZOOMS.length]), show()),
  c: () => ((contrast = contrast === "same" ? "own" : "same"), show()),
  d: () => ((strip = !strip), show()),
  "?": () => byId("help").showModal(),
  ArrowRight: () => go(at + 1),
  ArrowLeft: () => go(at - 1),
  ArrowDown: () => go(at + columns()),
  ArrowUp: () => go(at - columns()),
  Home: () => go(0),
  End: () => go(items.length - 1),
  Enter: lock,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (["INPUT", "TEXTAREA"].includes(event.target.tagName)) return;
  if (event.key === "Enter" && ["BUTTON", "A"].includes(event.target.tagName)) return;
  const verdict = "12345".indexOf(event.key) + 1;
  const action = verdict ? () => judge(verdict) : actions[event.key];
  if (!action || leaving) return;
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
  button.addEventListener("click", () => (judge(Number(button.dataset.verdict)), button.blur()));
for (const button of document.querySelectorAll("[data-tool]"))
  button.addEventListener("click", () => (actions[button.dataset.tool](), button.blur()));
for (const id of ["place", "around", "channels"]) {
  const image = byId(id);
  image.addEventListener("load", () => image.classList.remove("coming"));
  image.addEventListener("error", () => {
    const wanted = image.src;
    if (image.dataset.failed === wanted)
      byId("settings").textContent = "a picture cannot be had: its frame is missing or damaged";
    else setTimeout(() => image.src === wanted && (image.src = wanted), 300); // a server that is busy is asked once more
    image.dataset.failed = wanted;
  });
}
byId("lock").addEventListener("click", lock);
items.forEach((item, index) => item.addEventListener("click", () => go(index)));

// The reveal waits until the lock, and all before it, is on the server's disk.
whenChanged(() => leaving && isEmpty() && (location.href = `/batches/${batch}/result`));

items.forEach((item) => mark(item, item.dataset.verdict));
const open = items.findIndex((item) => !item.dataset.verdict);
go(open < 0 ? 0 : open);
document.body.dataset.ready = "yes";
