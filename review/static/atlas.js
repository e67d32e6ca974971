// The atlas: a deep zoom by OpenSeadragon, and one canvas over it for all boxes (2,000 elements would be slow).
const OpenSeadragon = window.OpenSeadragon;
const byId = (id) => document.getElementById(id);
const specimen = byId("atlas-desk").dataset.specimen;
const COLOURS = { visited: "#9cc4f5", flagged: "#ff5470", control: "#37d6a4", failed: "#ffb03a" };
const WORDS = { visited: "visited", flagged: "flagged", control: "random control", failed: "failed" };
const AGAIN_MS = 700;
const RUNNING_MS = 5000;

let told = null;
let viewer = null;
let chosen = null;
let canvas = null;
let drawn = 0; // how often the boxes were drawn: a test counts it

const layers = new Set([...byId("layers").querySelectorAll("input:checked")].map((box) => box.value));

function source() {
  return {
    width: told.width_px, height: told.height_px, tileSize: 256, tileOverlap: 0, minLevel: 0, maxLevel: told.levels,
    getTileUrl: (level, x, y) => `/atlas/${specimen}/tile/${level}/${x}/${y}?v=${told.pasted}`,
  };
}

function open() {
  viewer = OpenSeadragon({
    element: byId("atlas"), tileSources: source(), drawer: "canvas", showNavigationControl: false, showNavigator: false,
    maxZoomPixelRatio: 16, minZoomImageRatio: 0.8, imageSmoothingEnabled: false, animationTime: 0.4,
    gestureSettingsMouse: { clickToZoom: false },
  });
  canvas = document.createElement("canvas");
  canvas.className = "boxes";
  viewer.canvas.appendChild(canvas);
  viewer.addHandler("update-viewport", draw);
  viewer.addHandler("resize", draw);
  viewer.addHandler("canvas-click", (event) => event.quick && pick(viewer.viewport.viewerElementToImageCoordinates(event.position)));
  viewer.addHandler("open", () => {
    follow();
    document.body.dataset.ready = "yes";
  });
}

function draw() {
  const item = viewer.world.getItemAt(0);
  if (!item) return;
  const ratio = window.devicePixelRatio || 1;
  const size = viewer.viewport.getContainerSize();
  const [width, height] = [Math.round(size.x * ratio), Math.round(size.y * ratio)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const at = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
  const scale = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(1, 0)).x - at.x;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, size.x, size.y);
  const boxed = ([left, top, w, h]) => [at.x + left * scale, at.y + top * scale, w * scale, h * scale];
  if (layers.has("dose")) {
    const most = Math.max(...told.patches.map((patch) => patch.e_per_A2), 1e-12);
    for (const patch of told.patches) {
      pen.fillStyle = `rgb(255 170 40 / ${(0.6 * patch.e_per_A2) / most})`;
      pen.fillRect(...boxed(patch.box));
    }
  }
  for (const mark of Object.keys(COLOURS)) {
    if (!layers.has(mark)) continue;
    pen.strokeStyle = COLOURS[mark];
    pen.lineWidth = mark === "visited" ? 1 : 2;
    pen.beginPath();
    for (const site of told.sites) if (site.mark === mark) pen.rect(...boxed(site.box));
    pen.stroke();
  }
  if (chosen) {
    pen.strokeStyle = "#fff";
    pen.lineWidth = 3;
    pen.strokeRect(...boxed(chosen.box));
  }
  drawn += 1;
  canvas.dataset.drawn = drawn;
}

function pick(point) {
  const hit = ({ box: [left, top, w, h] }) => point.x >= left && point.x < left + w && point.y >= top && point.y < top + h;
  const site = told.sites.find((each) => layers.has(each.mark) && hit(each));
  if (site) return choose(site, false);
  const patch = told.patches.find(hit); // first the square, then the region
  if (patch) zoomTo(patch.box, 1.1);
}

function zoomTo([left, top, w, h], margin) {
  const rect = viewer.viewport.imageToViewportRectangle(left - (w * (margin - 1)) / 2, top - (h * (margin - 1)) / 2, w * margin, h * margin);
  viewer.viewport.fitBounds(rect);
}

function choose(site, zoom) {
  chosen = site;
  byId("chosen").hidden = false;
  byId("chosen-title").textContent = `Place ${site.target}: ${WORDS[site.mark]}`;
  const [left, top, w, h] = site.box;
  const x = told.left_nm - (left + w / 2) * told.pixel_nm;
  const y = told.top_nm - (top + h / 2) * told.pixel_nm;
  byId("chosen-words").textContent = `x ${x.toFixed(1)} nm, y ${y.toFixed(1)} nm`;
  const image = byId("chosen-picture");
  image.alt = `The look of its own that place ${site.target} had`;
  image.hidden = site.mark === "failed";
  if (!image.hidden) image.src = `/atlas/${specimen}/site/${site.target}`;
  byId("chosen-link").href = `#${site.target}`;
  byId("site-list").value = String(site.target);
  history.replaceState(null, "", `#${site.target}`);
  if (zoom) zoomTo(site.box, 6);
  draw();
}

function follow() {
  const wanted = Number(location.hash.slice(1));
  const site = location.hash && told.sites.find((each) => each.target === wanted);
  if (site) choose(site, true);
}

function list() {
  const options = told.sites.map((site) => new Option(`${site.target}: ${WORDS[site.mark]}`, site.target, false, site === chosen));
  byId("site-list").replaceChildren(...options);
  for (const count of document.querySelectorAll("[data-count]"))
    count.textContent = told.sites.filter((site) => site.mark === count.dataset.count).length;
  const doses = told.patches.map((patch) => patch.e_per_A2);
  const shown = (dose) => (dose < 100 ? Number(dose.toPrecision(2)) : Math.round(dose));
  byId("dose-range").textContent = doses.length ? `${shown(Math.min(...doses))} to ${shown(Math.max(...doses))} e/Å²` : "";
  const bad = told.missing ? `; ${told.missing} frames are missing or damaged` : "";
  const left = told.total - told.pasted - told.missing;
  byId("atlas-state").textContent = !told.total
    ? "No overview was taken yet."
    : left > 0 ? `${told.pasted} of ${told.total} overviews drawn${bad}` : `${told.pasted} overviews${bad}`;
}

async function refresh() {
  let answer;
  try {
    answer = await (await fetch(`/api/atlas/${specimen}`)).json();
  } catch {
    byId("atlas-state").textContent = "The server does not answer; this is the last that it told.";
    return setTimeout(refresh, RUNNING_MS);
  }
  const changed = !told || told.pasted !== answer.pasted || told.width_px !== answer.width_px;
  const other = told && told.width_px !== answer.width_px;
  told = answer;
  list();
  if (!viewer) open();
  else if (other) viewer.open(source());
  else if (changed) viewer.world.getItemAt(0)?.reset();
  if (viewer.isOpen()) draw();
  if (told.pasted + told.missing < told.total) setTimeout(refresh, AGAIN_MS);
  else if (told.running) setTimeout(refresh, RUNNING_MS);
  else document.body.dataset.whole = "yes";
}

byId("layers").addEventListener("change", (event) => {
  layers[event.target.checked ? "add" : "delete"](event.target.value);
  draw();
});
byId("site-list").addEventListener("change", (event) => {
  const site = told.sites.find((each) => each.target === Number(event.target.value));
  if (site) choose(site, true);
});
addEventListener("hashchange", follow);
window.atlas = { viewer: () => viewer, drawn: () => drawn };
void refresh();
