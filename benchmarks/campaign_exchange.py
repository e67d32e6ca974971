"""Laboratories that share a campaign by mail: each with its library, its clock and its instrument, in simulated time.

Entries, libraries, bundles and imports are the real ones; only time passes by itself, and the mail is drawn: late,
lost, doubled, out of order. Written for ``benchmarks.campaign``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from archive.campaign_entries import Entry
from archive.library import Library
from archive.library_exchange import export_bundle, import_bundle
from surveys.campaign_member import Measured, Member, start
from surveys.campaign_settings import campaign_of
from surveys.campaign_standing import Standing

if TYPE_CHECKING:
    from surveys.campaign_settings import CampaignSettings

OPENED = datetime(2026, 11, 1, tzinfo=UTC)
Instrument = "Callable[[Member, str], Measured]"


@dataclass(frozen=True)
class Mail:
    """How bundles travel. Times in units of ``cell_h``, about what a cell takes."""

    cell_h: float = 1.0
    every: float = 0.5
    """A laboratory sends one so often."""
    delay: tuple[float, float] = (0.0, 0.0)
    lost: float = 0.0
    doubled: float = 0.0
    clock_s: float = 0.0
    """The laboratories' clocks differ by up to so much."""
    silent_after: int | None = None
    """The second laboratory is never heard of again once it has measured so many cells."""
    rights: bool = True
    """False: whoever sees a cell that nobody is known to have claims it, as if there were no rule."""


@dataclass
class Laboratory:
    """One that takes part."""

    member: Member
    instrument: Callable[[Member, str], Measured]
    now: Callable[[], datetime]
    inbox: list[tuple[float, Path]] = field(default_factory=list)
    busy: tuple[float, str, Measured] | None = None
    """(until, cell, what it will tell)."""
    done: int = 0
    silent: bool = False
    news: bool = True
    """Whether anything has changed since it last looked for a cell."""


@dataclass(frozen=True)
class Shared:
    """What came of it."""

    hours: float
    """Until every cell was measured by somebody."""
    twice: int
    standing: Standing
    """With all entries of all laboratories together."""


def share(
    campaign: CampaignSettings,
    instruments: dict[str, Callable[[Member, str], Measured]],
    mail: Mail,
    folder: Path,
    seed: int,
    most_h: float = 400.0,
) -> Shared:
    """Run a campaign to its end by these laboratories, in the order of their names in it."""
    random = np.random.default_rng((seed, 0xCA))
    clock = {"h": 0.0}
    folder.mkdir(parents=True, exist_ok=True)
    laboratories: dict[str, Laboratory] = {}
    for number, (name, instrument) in enumerate(instruments.items()):
        off_s = float(random.uniform(-0.5, 0.5)) * mail.clock_s
        now = _clock(clock, off_s)
        library = Library(folder / f"{name}.sqlite", now_utc=now)
        if number == 0:
            campaign = campaign_of([start(library, campaign, name, now())])
            export_bundle(library, folder / "opened.zip", (), campaign=campaign.id)
        else:
            import_bundle(library, folder / "opened.zip")
        laboratories[name] = Laboratory(Member(library, campaign.id, name, now), instrument, now)
    tick, sent = 0.05 * mail.cell_h, 0
    next_mail = dict.fromkeys(laboratories, mail.every * mail.cell_h)
    term_h, measured = campaign.terms.term_hours, set[str]()
    while clock["h"] < most_h and len(measured) < len(campaign.grid):
        before, clock["h"] = clock["h"], clock["h"] + tick
        turned = int(before / term_h) < int((clock["h"] - 0.2) / term_h) or clock["h"] % term_h < 1.0
        for number, (name, one) in enumerate(laboratories.items()):
            if one.silent:
                continue
            one.news |= turned
            _receive(one, clock["h"])
            measured |= _work(one, clock["h"], rights=mail.rights)
            one.silent = number == 1 and mail.silent_after is not None and one.done >= mail.silent_after
            if clock["h"] >= next_mail[name] and len(laboratories) > 1 and not one.silent:
                next_mail[name] += mail.every * mail.cell_h
                sent += 1
                _send(one, laboratories, folder / f"{sent}.zip", mail, clock["h"], random)
    found = _everything(laboratories, campaign, clock)
    twice = sum(len(each) - 1 for each in found.results.values())
    for one in laboratories.values():
        one.member.library.close()
    return Shared(clock["h"], twice, found)


def _clock(clock: dict[str, float], off_s: float) -> Callable[[], datetime]:
    return lambda: OPENED + timedelta(hours=clock["h"], seconds=off_s)


def _receive(one: Laboratory, h: float) -> None:
    for arrives, bundle in [each for each in one.inbox if each[0] <= h]:
        counts = import_bundle(one.member.library, bundle)
        one.news |= counts["new"] > 0
        one.inbox.remove((arrives, bundle))


def _work(one: Laboratory, h: float, *, rights: bool) -> set[str]:
    """Tell what is finished, and begin the next; gives what was told."""
    told = set[str]()
    if one.busy is not None and h >= one.busy[0]:
        one.member.measured(one.busy[1], one.busy[2])
        told = {one.busy[1]}
        one.busy, one.done, one.news = None, one.done + 1, True
    if one.busy is None and one.news:
        one.news = False
        cell = _claimed(one) if rights else _grabbed(one)
        if cell is not None:
            found = one.instrument(one.member, cell)
            one.busy = (h + found.hours, cell, found)
    return told


def _claimed(one: Laboratory) -> str | None:
    if one.member.standing().ended() is not None or not one.member.proposals():
        return None
    return one.member.claim().cell


def _grabbed(one: Laboratory) -> str | None:
    """Without rights: of all cells that nobody is known to have the one that the posterior proposes."""
    now = one.member.standing()
    free = [name for name, cell in now.cells.items() if cell.open]
    if not free:
        return None
    names = [each.name for each in now.campaign.laboratories]
    posterior, place = now.posterior(), list(now.campaign.grid)
    best = max(free, key=lambda name: posterior.gain(place.index(name), names.index(one.member.laboratory)))
    own = [entry for entry in now.entries if entry.laboratory == one.member.laboratory]
    last = max(own, key=lambda entry: entry.number, default=None)
    until = one.now() + timedelta(hours=now.campaign.terms.lease_hours)
    claim = Entry(
        campaign=one.member.campaign, laboratory=one.member.laboratory, number=len(own) + 1,
        previous=last and last.content, kind="claim", cell=best, made_utc=one.now().isoformat(),
        until_utc=until.isoformat(),
    )  # fmt: skip
    one.member.library.add_all((), (), [(claim, one.member.library.id)])
    return best


def _send(
    one: Laboratory, to: dict[str, Laboratory], bundle: Path, mail: Mail, h: float, random: np.random.Generator
) -> None:
    one.member.answer()
    export_bundle(one.member.library, bundle, (), campaign=one.member.campaign)
    for other in to.values():
        if other is one:
            continue
        for _ in range(1 + (random.uniform() < mail.doubled)):
            delay_h = float(random.uniform(*mail.delay)) * mail.cell_h
            if random.uniform() >= mail.lost:
                other.inbox.append((h + delay_h, bundle))


def _everything(laboratories: dict[str, Laboratory], campaign: CampaignSettings, clock: dict[str, float]) -> Standing:
    """As one would know it who had every laboratory's entries."""
    from archive.campaign_rights import standing
    from surveys.campaign_standing import Standing

    entries = {e.content: e for one in laboratories.values() for e in one.member.standing().entries}
    told = tuple(entries.values())
    now = OPENED + timedelta(hours=clock["h"])
    return Standing(campaign, told, standing(campaign.rules(), told, now), now)
