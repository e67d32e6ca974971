"""How quick the review page is, in a real browser (Debian's Chromium, through Playwright).

    python -m benchmarks.review_page            about 4 minutes
    python -m benchmarks.review_page --quick    a small survey

A record is made up: 1,024 overviews of 256 × 256 pixels side by side, an atlas of 8,192 × 8,192, and a batch of 2,000
places cut from them; what is in the pictures does not matter here.

ready: from asking for the page until 2,000 thumbnails are in it and those on the screen have come. visible: from a key
to the next frame that the browser draws, the verdict in it; durable: until the server has it on disk and has said so;
median and 95th percentile of 60. burst: 100 keys as fast as they can be pressed, and how many were kept. far: the same
through a proxy that holds every packet back for 50 ms in each direction. frames: a second, while the atlas with 2,000
boxes is dragged and zoomed for four seconds.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from archive.folder import Meta, SurveyFolder
from archive.recorder import SurveyRecorder
from benchmarks.common import LIMITS, arguments, finish
from envs.step import Decision, ExposureRecord, Kind, Purpose, Step, Stream, Tag
from instruments.types import Axis, Exposure, Footprint, Frame, Optics, Signal, StagePosition
from review.serving import Bound, serving
from review.study import Study
from surveys.places import trees_of
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from collections.abc import Iterator

ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FRAME_PX, SITE_PX, DELAY_S, KEYS = 256, 32, 0.05, 60
CHOSEN = Tag(stream=Stream.POLICY, inclusion_probability=None)
MEASURE = """async (count) => {
  const saved = document.getElementById("saved"), visible = [], durable = [];
  for (let n = 0; n < count; n += 1) {
    await new Promise((next) => setTimeout(next, 60));
    const start = performance.now();
    const kept = new Promise((done) => {
      const all = () => saved.textContent === "all saved";
      const watch = new MutationObserver(() => all() && (watch.disconnect(), done(performance.now() - start)));
      watch.observe(saved, { childList: true, characterData: true, subtree: true });
    });
    document.dispatchEvent(new KeyboardEvent("keydown", { key: String(1 + (n % 5)), bubbles: true }));
    await new Promise(requestAnimationFrame);
    visible.push(performance.now() - start);
    durable.push(await kept);
  }
  return { visible, durable };
}"""
FLY = """async (seconds) => {
  const viewer = atlas.viewer(), view = viewer.viewport, start = performance.now();
  const before = atlas.drawn();
  let frames = 0;
  while (performance.now() - start < 1000 * seconds) {
    const t = (performance.now() - start) / 1000;
    view.zoomTo(1.5 + Math.sin(2 * t), null, true);
    view.panTo(new OpenSeadragon.Point(0.5 + 0.3 * Math.cos(t), 0.5 + 0.3 * Math.sin(t)), true);
    viewer.forceRedraw();
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return { frames: frames / seconds, drawn: (atlas.drawn() - before) / seconds };
}"""


def record(folder: Path, patches: int, places: int) -> Path:
    """``patches`` × ``patches`` overviews, and so many flags and sites with a look of their own."""
    side_nm = float(patches * FRAME_PX)
    settings = SurveySettings.model_validate({
        "name": "measured", "instrument": {"kind": "simulated"}, "current_pA": 50.0, "limits": LIMITS,
        "specimens": [{"name": "grid", "area": {"width_nm": side_nm, "height_nm": side_nm}}],
        "looks": {"overview": {"sites": FRAME_PX // SITE_PX}, "detail": {"field_of_view_nm": float(SITE_PX)}},
        "budget": {"hours": 1.0, "electrons": 1e12},
    }).model_dump(mode="json")  # fmt: skip
    (tree,) = trees_of(settings).values()
    kept = SurveyFolder.create(folder, Meta.new(created=datetime.now(UTC), seed=1, config=settings, who={}))
    written = SurveyRecorder(kept, reserve_bytes=0)
    counts = np.random.default_rng(1).poisson(30.0, (4, FRAME_PX, FRAME_PX)).astype(np.uint16)
    overviews: dict[int, int] = {}
    for number, patch in enumerate(tree.of_kind("patch").tolist()):
        place = tree[patch]
        overviews[patch] = _look(written, number, patch, place.x_nm, place.y_nm, counts[number % 4])
    sites = np.random.default_rng(2).permutation(tree.leaves)[:places].tolist()
    home = {int(child): patch for patch in overviews for child in tree.children(patch)}
    flags = []
    for rank, site in enumerate(sites, start=1):
        place = tree[site]
        box = {"x_nm": place.x_nm, "y_nm": place.y_nm, "width_nm": place.width_nm, "height_nm": place.height_nm}
        flags.append(box | {
            "sites": [{"target": site} | box], "specimen": "grid", "exposure_id": overviews[home[site]], "score": 5.0,
            "p_value": 1e-4, "q_value": 0.01, "surprise": 4.0, "rank": rank, "reason": "made up", "tags": ["policy"],
            "contributions": {},
        })  # fmt: skip
        _look(written, len(overviews) + rank, site, place.x_nm, place.y_nm, None, overviews[home[site]])
    written.flags(flags)
    written.event("end", "all was looked at", time_s=3600.0, data={"reason": "complete"})
    written.close()
    kept.close()
    return folder


def _look(
    written: SurveyRecorder, number: int, target: int, x_nm: float, y_nm: float, counts: Any, shown: int | None = None
) -> int:
    """A step; its frame is kept where there is one, else it is said to be shown by another's."""
    wide = float(FRAME_PX if shown is None else SITE_PX)
    exposure = Exposure(field_of_view_nm=wide, shape=(FRAME_PX, FRAME_PX), dwell_us=1.0)
    place = Footprint(x_nm=x_nm, y_nm=y_nm, width_nm=wide, height_nm=wide)
    stage, purpose = StagePosition(x_nm=x_nm, y_nm=y_nm), Purpose.SURVEY if shown is None else Purpose.DETAIL
    if shown is None:
        shown = written.intent(exposure, purpose=purpose, tags=(CHOSEN,), footprint=place, specimen="grid")
        axes = (Axis("row", 1.0, "nm"), Axis("column", 1.0, "nm"))
        written.commit(shown, Frame(
            exposure=replace(exposure, id=shown), signals={"HAADF": Signal(counts, axes)}, stage=stage,
            optics=Optics(), start_s=float(number), end_s=number + 0.5, electrons=1e5,
        ))  # fmt: skip
    made = ExposureRecord(
        exposure=replace(exposure, id=shown), purpose=purpose, tags=(CHOSEN,), footprint=place, stage=stage,
        optics=Optics(), start_s=float(number), end_s=number + 0.5, electrons=1e5, committed=True,
    )  # fmt: skip
    look = "overview" if purpose is Purpose.SURVEY else "detail"
    written.step(Step(
        number=number, specimen="grid", kind=Kind.LOOK, decision=Decision(action=0), target=target, look=look,
        exposures=(made,), start_s=float(number), end_s=number + 1.0, electrons=1e5,
    ))  # fmt: skip
    return shown


@contextmanager
def far(port: int) -> Iterator[int]:
    """A port of this computer that leads to another, every packet ``DELAY_S`` later."""
    loop, begun = asyncio.new_event_loop(), threading.Event()
    found: dict[str, int] = {}

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def later() -> None:
            while True:
                due_s, data = await waiting.get()
                await asyncio.sleep(max(due_s - loop.time(), 0.0))
                if not data:
                    writer.close()
                    return
                writer.write(data)

        task = asyncio.ensure_future(later())
        data = b"x"
        while data:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            waiting.put_nowait((loop.time() + DELAY_S, data))
        await task

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pipe(reader, back), pipe(there, writer), return_exceptions=True)

    async def begin() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        found["port"] = server.sockets[0].getsockname()[1]
        begun.set()

    thread = threading.Thread(target=lambda: (loop.run_until_complete(begin()), loop.run_forever()), daemon=True)
    thread.start()
    begun.wait(10)
    try:
        yield found["port"]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(5)


def ready_s(page: Page, address: str) -> float:
    """Until all thumbnails are there and those on the screen have come."""
    start_s = time.monotonic()
    page.goto(address, wait_until="commit")
    page.wait_for_selector("body[data-ready]")
    page.wait_for_function(
        # of the items, not of the pictures in them: to ask where a picture is that is not drawn would draw it
        "() => { const seen = (box) => box.bottom > 0 && box.top < innerHeight;"
        " return [...document.getElementById('grid').children].filter((item) => seen(item.getBoundingClientRect()))"
        ".map((item) => item.firstChild).every((image) => image.complete && image.naturalWidth); }"
    )
    return time.monotonic() - start_s


def judged(page: Page, study: Study, places: int) -> dict[str, Any]:
    found = page.evaluate(MEASURE, min(KEYS, places // 3))
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")
    before, count = len(study.journal.events()), min(100, places // 3)
    for number in range(count):
        page.keyboard.press(str(1 + number % 5))
    page.wait_for_function("() => document.getElementById('saved').textContent === 'all saved'")
    row = {"burst": f"{len(study.journal.events()) - before} of {count}"}
    for name, values in found.items():
        row |= {f"{name} ms": float(np.median(values)), f"{name} ms, 95 %": float(np.quantile(values, 0.95))}
    return row


def main() -> int:
    parser = arguments(__doc__)
    options = parser.parse_args()
    patches, places = (4, 60) if options.quick else (32, 2000)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as beside, sync_playwright() as playwright:
        folder = record(Path(beside) / "night", patches, places)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        study = Study(folder, size=2 * places)
        with serving(study, Bound(port=0), "Ada") as server, far(int(server.address.rpartition(":")[2])) as port:
            for name, address in (("here", server.address), ("far, 100 ms", f"http://127.0.0.1:{port}")):
                page = browser.new_page(viewport={"width": 1360, "height": 860})
                page.goto(server.link().replace(server.address, address), wait_until="commit")
                page.wait_for_selector("body[data-ready]")
                first_s = ready_s(page, address + "/")
                rows.append({"page": name, "thumbnails": places, "ready s": first_s, **judged(page, study, places)})
                page.close()
            context = browser.contexts[0] if browser.contexts else browser.new_context()
            page = context.new_page()
            page.goto(server.link())
            page.goto(server.address + "/atlas")
            page.wait_for_selector("body[data-whole]", timeout=300_000)
            flown = page.evaluate(FLY, 4)
            rate, drawn = flown["frames"], flown["drawn"]
            print(f"atlas of {patches * FRAME_PX}² with {places} boxes: {rate:.0f} frames a second, boxes {drawn:.0f}")
        browser.close()
    finish(rows, options, title="the review page in Chromium")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
