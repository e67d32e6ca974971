// The running survey: everything here is told by the record; what a person asks becomes a row that the runner reads.
import { listen } from "./stream.js";

const byId = (id) => document.getElementById(id);
const COLOURS = { overview: "#4c6a92", detail: "#7ea0c8", skill: "#b89bd0", control: "#2e9d7f", failed: "#c77700", stop: "#5d6876" };
const LANES = Object.keys(COLOURS);
const SHOWN = 150;
const FRAMES = 6;
const NOW_MS = 2000;

const steps = [];
const entries = [];
let now = null;
let atlas = null;
let picture = null;
let picked = null;
let drawing = 0;

const lane = (step) => (step.fault ? "failed" : step.kind === "look" ? step.look || "detail" : step.kind);
const minutes = (s) => (s < 120 ? `${s.toFixed(0)} s` : s < 7200 ? `${(s / 60).toFixed(1)} min` : `${(s / 3600).toFixed(1)} h`);

function said(step) {
  const what = step.kind === "control" ? "random control" : step.skill || (step.look ? `${step.look}${step.target == null ? "" : ` of place ${step.target}`}` : step.kind);
  const parts = [`Step ${step.number}, ${what}`];
  if (step.fault) parts.push(`failed: ${step.fault}`);
  if (step.reason) parts.push(step.reason);
  if (step.interest != null) parts.push(`interest found ${step.interest.toPrecision(3)}`);
  if (step.decided_by && step.decided_by !== "agent") parts.push(`decided by ${step.decided_by}`);
  return parts.join(" · ");
}

function take(kind, body) {
  if (kind === "step") {
    steps.push(body);
    entries.push({ text: said(body), fault: Boolean(body.fault), more: body.candidates });
  } else if (kind === "event" && body.kind !== "request") {
    entries.push({ text: `${body.kind}: ${body.message}`, fault: body.kind === "fault" });
  } else if (kind === "request") {
    entries.push({ text: `${body.person} asked: ${body.kind.replace("_", " ")}` });
  }
  if (!drawing) drawing = requestAnimationFrame(draw);
}

function draw() {
  drawing = 0;
  const log = byId("log");
  log.start = entries.length;
  log.replaceChildren(...entries.slice(-SHOWN).reverse().map(({ text, fault, more }) => {
    const row = document.createElement("li");
    row.textContent = text;
    row.classList.toggle("fault", Boolean(fault));
    if (more?.length) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = "what else was considered";
      const list = document.createElement("ul");
      for (const one of more) {
        const item = document.createElement("li");
        item.textContent = `${one.chosen ? "→ " : ""}${one.label}: expected ${Number(one.value).toPrecision(3)} ± ${Number(one.uncertainty).toPrecision(2)}`;
        list.append(item);
      }
      details.append(summary, list);
      row.append(details);
    }
    return row;
  }));
  frames();
  timeline();
  map();
  document.body.dataset.steps = steps.length;
}

function frames() {
  const wanted = steps.filter((step) => step.exposure).slice(-FRAMES).reverse();
  const have = new Map([...byId("frames").children].map((figure) => [figure.dataset.exposure, figure]));
  byId("frames").replaceChildren(...wanted.map((step) => {
    const kept = have.get(String(step.exposure));
    if (kept) return kept;
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    const caption = document.createElement("figcaption");
    figure.dataset.exposure = step.exposure;
    image.src = `/live/frame/${step.exposure}`;
    image.width = image.height = 150;
    image.alt = `The frame of step ${step.number}`;
    caption.textContent = `step ${step.number}, ${step.look || step.skill}`;
    figure.append(image, caption);
    return figure;
  }));
}

function timeline() {
  const canvas = byId("timeline");
  const pen = canvas.getContext("2d");
  pen.clearRect(0, 0, canvas.width, canvas.height);
  if (!steps.length) return;
  const [first, end] = [Math.min(...steps.map((step) => step.start_s)), Math.max(...steps.map((step) => step.end_s))];
  const scale = canvas.width / Math.max(end - first, 1e-9);
  const height = canvas.height / LANES.length;
  for (const step of steps) {
    const at = Math.max(LANES.indexOf(lane(step)), 0);
    pen.fillStyle = COLOURS[LANES[at]];
    pen.fillRect((step.start_s - first) * scale, at * height + 1, Math.max((step.end_s - step.start_s) * scale, 1.5), height - 2);
  }
  pen.font = "13px system-ui, sans-serif";
  for (const [at, name] of LANES.entries()) {
    pen.fillStyle = "rgb(255 255 255 / 80%)";
    pen.fillRect(0, at * height + 3, pen.measureText(name).width + 10, height - 6);
    pen.fillStyle = "#1c2430";
    pen.fillText(name, 5, (at + 0.5) * height + 5);
  }
  byId("legend").textContent = `${minutes(end - first)} of the instrument's time`;
}

async function background() {
  if (!now?.specimen) return;
  try {
    const other = atlas?.specimen !== now.specimen;
    atlas = { specimen: now.specimen, ...(await (await fetch(`/api/atlas/${now.specimen}`)).json()) };
    if (other || picture?.pasted !== atlas.pasted) {
      const image = new Image();
      image.pasted = atlas.pasted;
      image.onload = () => ((picture = image), map());
      image.src = `/atlas/${now.specimen}/tile/${Math.min(atlas.levels, 8)}/0/0?v=${atlas.pasted}`;
    }
  } catch {
    /* the next look at the state says that the server is gone */
  }
}

function spot(x_nm, y_nm) {
  const canvas = byId("map");
  const scale = canvas.width / Math.max(atlas.width_px, atlas.height_px);
  return [((atlas.left_nm - x_nm) / atlas.pixel_nm) * scale, ((atlas.top_nm - y_nm) / atlas.pixel_nm) * scale];
}

function map() {
  const canvas = byId("map");
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#343a44";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  if (!atlas) return;
  const scale = canvas.width / Math.max(atlas.width_px, atlas.height_px);
  if (picture) pen.drawImage(picture, 0, 0, atlas.width_px * scale, atlas.height_px * scale);
  pen.strokeStyle = "#9cc4f5";
  pen.lineWidth = 1;
  for (const { box: [left, top, w, h] } of atlas.sites) pen.strokeRect(left * scale, top * scale, Math.max(w * scale, 2), Math.max(h * scale, 2));
  const here = [...steps].reverse().find((step) => step.stage && step.specimen === atlas.specimen);
  if (here) cross(pen, spot(here.stage.x_nm, here.stage.y_nm), "#ff5470");
  if (picked) cross(pen, spot(picked.x_nm, picked.y_nm), "#fff");
}

function cross(pen, [x, y], colour) {
  pen.strokeStyle = colour;
  pen.lineWidth = 2;
  pen.beginPath();
  pen.arc(x, y, 7, 0, 2 * Math.PI);
  pen.moveTo(x - 12, y);
  pen.lineTo(x + 12, y);
  pen.moveTo(x, y - 12);
  pen.lineTo(x, y + 12);
  pen.stroke();
}

async function look() {
  try {
    now = await (await fetch("/api/live")).json();
  } catch {
    byId("now").replaceChildren(...fact("state", "the review's server does not answer; the survey runs on without it"));
    return setTimeout(look, NOW_MS);
  }
  if (picked && picked.specimen !== now.specimen) {
    picked = null; // a place of the specimen before
    byId("picked").textContent = "Click a place to look at it next, or to skip it.";
    for (const button of document.querySelectorAll("[data-ask=look_here], [data-ask=skip]")) button.disabled = true;
  }
  const facts = [
    ["state", now.state], ["specimen", now.specimen ?? "none yet"], ["steps", now.steps],
    ["looks", `${now.overview_looks} overviews, ${now.detail_looks} in detail`],
    ["time left", `${minutes(now.time_left_s)} at most`], ["dose left", `${(100 * now.electrons_left_ratio).toFixed(0)} % of the budget`],
    ["faults", now.faults ? `${now.faults}; the last: ${now.last_fault}` : "none"],
  ];
  if (now.most_unusual) facts.push(["most unusual so far", now.most_unusual]);
  if (now.last_heard_s != null) facts.push(["last heard of", `${now.last_heard_s} s ago`]);
  byId("now").replaceChildren(...facts.flatMap(([name, value]) => fact(name, value)));
  byId("proposal").hidden = !now.asks;
  byId("proposal-words").textContent = now.asks ?? "";
  if (byId("requests"))
    byId("requests").replaceChildren(...now.requests.reverse().map((row) => {
      const item = document.createElement("li");
      item.textContent = `${row.person}: ${row.kind.replace("_", " ")}${row.proposal ? ` proposal ${row.proposal}` : ""}, ${row.state}${row.reply ? ` (${row.reply})` : ""}`;
      return item;
    }));
  await background();
  map();
  document.body.dataset.ready = "yes";
  if (now.running) setTimeout(look, NOW_MS);
}

function fact(name, value) {
  const [term, told] = [document.createElement("dt"), document.createElement("dd")];
  [term.textContent, told.textContent] = [name, value];
  return [term, told];
}

async function ask(kind) {
  const body = { kind };
  if (kind === "look_here" || kind === "skip") Object.assign(body, picked);
  if (kind === "approve" || kind === "reject") body.proposal = Number(now.asks.match(/\d+/)[0]);
  let answer;
  try {
    answer = await fetch("/api/requests", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    byId("asked").textContent = `Not asked: the review's server does not answer. On the command line: adaptem ${kind === "resume" ? "resume" : kind === "stop" ? "stop" : "pause"} FOLDER`;
    return;
  }
  const told = await answer.json();
  byId("asked").textContent = answer.ok ? told.message ?? `Asked to ${kind.replace("_", " ")}: request ${told.request}.` : `Refused: ${told.detail}`;
  byId("proposal").hidden = true; // answered; the next look at the state says what it asks now
}

for (const button of document.querySelectorAll("[data-ask]")) button.addEventListener("click", () => void ask(button.dataset.ask));
byId("stop")?.addEventListener("click", () => byId("stopping").showModal());
byId("stopping").addEventListener("close", () => byId("stopping").returnValue === "stop" && void ask("stop"));
byId("map").addEventListener("click", (event) => {
  if (!atlas || !byId("picked")) return;
  const box = byId("map").getBoundingClientRect();
  const scale = box.width / Math.max(atlas.width_px, atlas.height_px);
  picked = { specimen: atlas.specimen, x_nm: atlas.left_nm - ((event.clientX - box.left) / scale) * atlas.pixel_nm, y_nm: atlas.top_nm - ((event.clientY - box.top) / scale) * atlas.pixel_nm };
  byId("picked").textContent = `x ${picked.x_nm.toFixed(0)} nm, y ${picked.y_nm.toFixed(0)} nm`;
  for (const button of document.querySelectorAll("[data-ask=look_here], [data-ask=skip]")) button.disabled = false;
  map();
});

void listen(take);
void look();
