"""The command ``track``: follow a specimen that changes, and say by which law."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import Exit, plain_errors, say, show

if TYPE_CHECKING:
    from collections.abc import Callable

LIVE_S = 5.0
"""How often a page that is watched is written anew, at most."""
Config = Annotated[Path, typer.Argument(help="A config of what is followed (YAML).", show_default=False)]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write to; by itself NAME-001 and so on in `out`.")]


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(track)


def track(
    config: Config,
    folder: Out = None,
    rehearse: Annotated[
        bool, typer.Option("--dry-run", help="Touch nothing: say whether this dose can tell the laws apart.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Write report.html anew every few seconds: a browser that shows it follows.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say the end only.")] = False,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="JSON instead of text.")] = False,
) -> None:
    """Follow a specimen that changes with the signals that tell most; report by which law, how fast, how sure."""
    with plain_errors():
        from configs.load import load
        from surveys.night import default_folder

        prepared, wanted = _tracking("surveys.tracking_prepare"), _tracking("surveys.tracking_settings").TrackSettings
        settings = load(config, wanted, tuple(sets or ()))
        tell = (lambda _: None) if quiet or json else say
        tell("measuring what the signals show of pure material")
        following = prepared.prepare(settings)
        told = _rehearsed(prepared, following, tell) if settings.rehearsals or rehearse else []
        if rehearse:
            if json:
                show({"rehearsed": told})
            return
        place = folder or default_folder(settings)
        watch = _watch(place, told, tell) if live else None
        found = _tracking("surveys.tracking").run_tracking(following, place, tell, watch)
        _finish(place, found, told, json=json)


def go_on(folder: Path, *, json: bool) -> None:
    """Go on with a specimen that was followed."""
    found = _tracking("surveys.tracking").resume_tracking(folder, (lambda _: None) if json else say)
    _finish(folder, found, [], json=json)


def _finish(place: Path, found: dict[str, Any], told: list[dict[str, Any]], *, json: bool) -> None:
    from review.tracking import write_tracking_report

    page = write_tracking_report(place, told)
    if json:
        show({"folder": str(place), "rehearsed": told, **{k: v for k, v in found.items() if k != "laws"}})
    else:
        for line in _lines(found):
            say(line)
        say(f"report: {page}")
    if found["stopped"]:
        if not json:
            say(f"{found['ended']}; `adaptem resume {place}` goes on")
        raise typer.Exit(Exit.INTERRUPTED)


def _watch(place: Path, told: list[dict[str, Any]], tell: Any) -> Callable[[Any], None]:
    """The report, written anew while it goes on, but no more often than a person looks."""
    from review.tracking import write_tracking_report

    next_s = [float("-inf")]

    def watch(run: Any) -> None:
        if time.monotonic() < next_s[0] or (found := run.so_far()) is None:
            return
        page = write_tracking_report(place, told, found=found, renewed_s=LIVE_S)
        if next_s[0] < 0:
            tell(f"to watch it: {page.resolve().as_uri()}")
        next_s[0] = time.monotonic() + LIVE_S

    return watch


def _rehearsed(prepared: Any, following: Any, tell: Any) -> list[dict[str, Any]]:
    from dataclasses import asdict

    told, weak = [], []
    for each in prepared.rehearsed(following):
        told.append({**asdict(each), "told": each.told})
        if not each.told:
            weak.append(each)
        taken = f", taken for {each.likeliest}" if each.likeliest else ""
        tell(f"rehearsed {each.law}: {each.probability:.2f} at the end of {each.looks} looks{taken}")
    if weak:
        names = "; ".join(each.law for each in weak)
        plays = following.settings.rehearsals or 1
        tell(
            f"this dose may be too small to tell: {names}. Raise `electrons` ({following.settings.electrons:.3g}) and "
            "rehearse again: where that helps nothing, these looks cannot tell them at any dose. Each was played "
            f"{'once' if plays == 1 else f'{plays} times'}; `rehearsals` says how often"
        )
    return told


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    if found["none_of_these"]:
        lines.append(f"none of these laws explains what was seen: {found['why_none']}")
    for law in found["laws"]:
        lines.append(f"{law['law']}: probability {law['probability']:.3f}")
        lines += [
            f"  {each['name']} {each['mean']:.4g} (90 %: {each['low']:.4g} to {each['high']:.4g})"
            for each in law["parameters"]
        ]
    lines += [f"foretold by no law: {c['t_s']:.0f} s, place {c['place']}, {c['what']}" for c in found["changes"]]
    lines.append(found["dose_told"])
    lines += [found[name]["told"] for name in ("drift", "focus") if found[name]]
    lines += found["trouble"]
    lines.append(f"{found['looks']} looks, {found['electrons']:.3g} electrons")
    return lines


def _tracking(module: str) -> Any:
    """A module that needs the simulator. Raises ConfigError where that is not installed."""
    from configs.errors import ConfigError

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"following needs {error.name}, which is not installed: pip install 'adaptem[simulate]'"
        ) from error
