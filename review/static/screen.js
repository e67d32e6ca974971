// Many places at once: a letter says that a place is interesting, one key that the rest of the screen is ordinary.
// What is swept up in that way is told apart in the journal, and holds only what was on the screen with its picture.
import { newId } from "./outbox.js";

const LETTERS = [..."abefhijklmopqrstvw"]; // without the keys that mean something else: c, d, g, n, u, x, z
const LEAST_MS = 400; // that a picture was on the screen, before it can be swept up
const byId = (id) => document.getElementById(id);

// desk: items, at(), go(index), isDone(item), give([{ item, verdict, shown }]), picture(item), missing(item)
export function makeScreen(desk) {
  const tiles = byId("tiles");
  let page = -1;
  const watch = new IntersectionObserver(
    (seen) => seen.forEach(({ target, isIntersecting }) => {
      if (isIntersecting) target.visibleMs ??= performance.now();
      else if (!lookedMs(target)) target.visibleMs = undefined; // gone before it could be looked at
    }),
    { threshold: 0.7 },
  );

  const first = () => page * LETTERS.length;
  const shown = () => [...tiles.children];
  const itemOf = (tile) => desk.items[Number(tile.dataset.index)];

  function lookedMs(tile) {
    if (tile.loadedMs === undefined || tile.visibleMs === undefined) return 0;
    return performance.now() - Math.max(tile.loadedMs, tile.visibleMs);
  }

  function tileOf(item, index, letter) {
    const tile = document.createElement("li");
    tile.dataset.index = index;
    tile.setAttribute("role", "option");
    tile.letter = letter;
    const image = document.createElement("img");
    image.alt = "";
    image.addEventListener("load", () => (tile.loadedMs = performance.now()));
    image.addEventListener("error", () => {
      if (image.again) return desk.missing(item);
      image.again = true; // a server that is busy is asked once more
      setTimeout(() => (image.src = image.src), 300);
    });
    const key = document.createElement("kbd");
    key.textContent = letter;
    const mark = document.createElement("span");
    mark.className = "mark";
    key.ariaHidden = mark.ariaHidden = "true";
    tile.append(image, key, mark);
    tile.addEventListener("click", () => desk.go(index));
    watch.observe(tile);
    return tile;
  }

  function turn(to) {
    page = to;
    watch.disconnect();
    const those = desk.items.slice(first(), first() + LETTERS.length);
    tiles.replaceChildren(...those.map((item, number) => tileOf(item, first() + number, LETTERS[number])));
    byId("screen-words").textContent = `Places ${first() + 1} to ${first() + those.length} of ${desk.items.length}`;
    tell("");
  }

  function show() {
    const wanted = Math.floor(desk.at() / LETTERS.length);
    if (wanted !== page) turn(wanted);
    for (const tile of shown()) {
      const item = itemOf(tile);
      const source = desk.picture(item);
      const image = tile.firstChild;
      if (image.getAttribute("src") !== source) [tile.loadedMs, image.src] = [undefined, source];
      tile.dataset.verdict = item.dataset.verdict;
      tile.lastChild.textContent = item.querySelector(".mark").textContent;
      tile.setAttribute("aria-selected", String(Number(tile.dataset.index) === desk.at()));
      tile.setAttribute("aria-label", `${item.getAttribute("aria-label")}, letter ${tile.letter}`);
    }
  }

  const about = (tile, how) => ({ looked_s: Math.round(lookedMs(tile)) / 1000, seen: lookedMs(tile) > 0, how, view: "screen" });

  function judge(tile, verdict) {
    desk.go(Number(tile.dataset.index));
    desk.give([{ item: itemOf(tile), verdict, shown: about(tile, "single") }]);
    show();
  }

  const isUnseen = ({ dataset }) => dataset.seen === "no"; // said before its picture came: it is to be said again
  const isHeld = (item) => isUnseen(item) && ["4", "5"].includes(item.dataset.verdict); // never swept into the ordinary

  function sweep() {
    const open = shown().filter((tile) => !desk.isDone(itemOf(tile)) && !isHeld(itemOf(tile)));
    const looked = open.filter((tile) => lookedMs(tile) >= LEAST_MS);
    const together = { sweep: newId() }; // one undo takes them back, also after a reload
    if (looked.length) desk.give(looked.map((tile) => ({ item: itemOf(tile), verdict: 1, shown: { ...about(tile, "sweep"), ...together } })));
    show();
    const left = shown().filter((tile) => !desk.isDone(itemOf(tile)));
    if (left.length) return tell(whatIsLeft(left.filter((tile) => isHeld(itemOf(tile))), left.length));
    const next = desk.items.findIndex((item) => !desk.isDone(item));
    if (next >= 0) desk.go(next);
  }

  function whatIsLeft(held, count) {
    const letters = held.map((tile) => tile.letter).join(", ");
    const again = held.length ? `${letters}: called interesting before the picture came. Look, then say it again, by letter or number.` : "";
    const brief = count - held.length;
    const look = brief ? `${brief} here not judged: not on the screen long enough with their picture. Look, then press again.` : "";
    return [look, again].filter(Boolean).join(" ");
  }

  function tell(words) {
    byId("screen-told").textContent = words;
  }

  return {
    show,
    sweep,
    columns: () => Math.max(shown().findIndex((tile) => tile.offsetTop !== shown()[0].offsetTop), 0) || shown().length,
    // Whether the key was one of this view's.
    key(name) {
      const verdict = "12345".indexOf(name) + 1;
      const lettered = shown().find((tile) => tile.letter === name);
      if (name === "x") sweep();
      else if (verdict) judge(shown()[desk.at() - first()], verdict);
      else if (lettered) judge(lettered, itemOf(lettered).dataset.verdict === "4" && !isUnseen(itemOf(lettered)) ? 5 : 4);
      else return false;
      return true;
    },
    page: (by) => desk.go(Math.min(Math.max(page + by, 0), Math.ceil(desk.items.length / LETTERS.length) - 1) * LETTERS.length),
  };
}
