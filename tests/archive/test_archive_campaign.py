"""Whose a cell is: the same for everybody who knows the same, and never two laboratories' at one moment."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archive.campaign_entries import Entry, entry_json, entry_of, gaps_and_forks
from archive.campaign_rights import Rules, standing
from archive.library_records import LibraryError

OPENED = datetime(2026, 11, 1, tzinfo=UTC)
TEXT = "a campaign"
ID = hashlib.sha256(TEXT.encode()).hexdigest()
HOUR = 3600.0
RULES = Rules(
    opened=OPENED,
    cells={"a/1": ("north", "south"), "a/2": ("south", "north"), "b/1": ("south",)},
    term_s=10 * HOUR,
    lease_s=2 * HOUR,
    clock_error_s=60.0,
)


def entry(laboratory="north", number=1, kind="claim", cell="a/1", at_h=0.0, **told):
    made = OPENED + timedelta(hours=at_h)
    if kind == "claim":
        told.setdefault("until_utc", (made + timedelta(hours=2)).isoformat())
    if kind == "result":
        told = {"value": 1.0, "std": 0.1, "n": 9, "hours": 1.0} | told
    return Entry(campaign=ID, laboratory=laboratory, number=number, previous=None if number == 1 else "x", kind=kind,
                 cell=cell, made_utc=made.isoformat(), **told)  # fmt: skip


def rights(entries, at_h):
    now = OPENED + timedelta(hours=at_h)
    return {name: cell.right for name, cell in standing(RULES, entries, now).items()}


def test_a_cell_goes_round_with_the_terms_and_along_the_grants_within_one():
    assert rights([], 1) == {"a/1": "north", "a/2": "south", "b/1": "south"}
    assert rights([], 11) == {"a/1": "south", "a/2": "north", "b/1": "south"}
    given = [entry("south", 2, "grant", "a/2", 1, to="north"), entry("north", 1, "grant", "a/2", 2, to="south"),
             entry("south", 5, "grant", "a/2", 3, to="north")]  # fmt: skip
    assert [rights(given[:n], 4)["a/2"] for n in range(4)] == ["south", "north", "south", "north"]
    assert rights(given, 11)["a/2"] == "north"  # the second term's home, whoever had it in the first
    assert rights([entry("north", 1, "grant", "a/2", 1, to="north")], 4)["a/2"] == "south"  # not north's to give
    assert rights([entry("south", 1, "grant", "b/1", 1, to="north")], 4)["b/1"] == "south"  # who has no piece of it


def test_a_claim_stands_until_it_is_answered_or_its_lease_is_over():
    claim = entry(at_h=1)

    def state(entries, at_h):
        return standing(RULES, entries, OPENED + timedelta(hours=at_h))["a/1"]

    assert state([claim], 2).claim == claim
    assert not state([claim], 2).open
    assert state([claim], 3.01).claim == claim  # the other's clock may be late
    assert state([claim], 3.02).open
    assert state([claim, entry(number=2, kind="release", at_h=2, text="broke")], 2).open
    done = state([claim, entry(number=2, kind="result", at_h=2)], 2)
    assert (done.claim, len(done.results), done.open) == (None, 1, False)
    both = [entry("south", at_h=1), claim]
    assert state(both, 2).claim == state(both[::-1], 2).claim == claim  # the same tie, the same answer
    assert state([entry("stranger"), entry("stranger", 2, "result")], 1).open


@pytest.mark.parametrize(("at_h", "holds"), [(0, True), (7.9, True), (8.0, False), (10.01, False), (10.02, True)])
def test_a_lease_lies_within_its_term(at_h, holds):
    assert (RULES.lease(OPENED + timedelta(hours=at_h)) is not None) == holds


class Laboratory:
    """What one laboratory knows and does, with a clock that is a little off."""

    def __init__(self, name, off_s):
        self.name, self.off_s, self.known = name, off_s, []

    def act(self, at_h, dice):
        now = OPENED + timedelta(hours=at_h, seconds=self.off_s)
        until = RULES.lease(now)
        if until is None:
            return None
        for cell in standing(RULES, self.known, now).values():
            if not (cell.open and cell.right == self.name):
                continue
            other = {"north": "south", "south": "north"}[self.name]
            if dice.random() < 0.3 and other in RULES.cells[cell.name]:
                self.tell(now, "grant", cell.name, to=other)
            else:
                self.tell(now, "claim", cell.name, until_utc=until.isoformat())
                return cell.name, at_h, at_h + RULES.lease_s / HOUR
        return None

    def tell(self, now, kind, cell, **told):
        own = sum(each.laboratory == self.name for each in self.known)
        at_h = (now - OPENED).total_seconds() / HOUR
        self.known.append(entry(self.name, own + 1, kind, cell, at_h, **told))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.floats(-29, 29), st.floats(-29, 29), st.floats(0, 1))
def test_no_two_ever_measure_one_cell_at_one_time_whatever_becomes_of_their_messages(seed, north_s, south_s, arrives):
    """Nobody finishes anything, and messages are lost, late, doubled and out of order."""
    dice = random.Random(seed)  # noqa: S311 - no secret
    both = [Laboratory("north", north_s), Laboratory("south", south_s)]
    spans, mail = {}, []
    edges = [term - early + dice.uniform(-0.02, 0.02) for term in (10, 20) for early in (0, 2) for _ in range(8)]
    for at_h in sorted([*edges, *(dice.uniform(0, 30) for _ in range(70))]):
        one = dice.choice(both)
        done = one.act(at_h, dice) if at_h in edges or dice.random() < 0.1 else None
        if done is not None:
            spans.setdefault(done[0], []).append((one.name, *done[1:]))
        mail += [(one, each) for each in dice.sample(one.known, k=min(2, len(one.known)))]
        for sender, each in dice.sample(mail, k=min(3, len(mail))):
            for other in both:
                if other is not sender and dice.random() < arrives and each not in other.known:
                    other.known.append(each)
    for told in spans.values():
        for who, begins, ends in told:
            for other, from_h, to_h in told:
                assert who == other or ends <= from_h + 1e-9 or to_h <= begins + 1e-9


@given(st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(dice):
    told = [entry(at_h=1), entry("south", 1, "claim", "a/2", 1), entry("south", 2, "grant", "a/2", 1.5, to="north"),
            entry(number=2, kind="result", at_h=2), entry("south", 3, "result", "a/1", 2),
            entry("south", 4, "ask", "a/1")]  # fmt: skip
    mixed = [*told, *told[:3]]
    dice.shuffle(mixed)
    now = OPENED + timedelta(hours=2.5)
    assert standing(RULES, list(dict.fromkeys(mixed)), now) == standing(RULES, told, now)


def test_what_is_missing_or_told_twice_is_seen():
    one = replace(entry(kind="ask"), previous=None)
    two = replace(entry(number=2), previous=one.content)
    assert gaps_and_forks([one, two]) == []
    assert gaps_and_forks([two]) == ["north: entries 1 have not arrived"]
    other = replace(one, cell="a/2")
    assert "told in 2 ways" in gaps_and_forks([one, other, two])[0]
    assert "follows another entry 1" in gaps_and_forks([other, two])[0]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"kind": "claim", "until_utc": None}, "lacks until_utc"),
        ({"made_utc": "2026-11-01T00:00:00"}, "no time in UTC"),
        ({"made_utc": "yesterday"}, "no time in UTC"),
        ({"kind": "result", "value": 1.0, "std": 0.0, "n": 3, "hours": 1.0}, "without uncertainty"),
        ({"kind": "result", "value": float("inf"), "std": 0.1, "n": 3, "hours": 1.0}, "finite"),
        ({"number": 0}, "which entry went before"),
        ({"number": 2, "previous": None}, "which entry went before"),
        ({"kind": "opened", "text": "another campaign"}, "checksum"),
    ],
)
def test_an_entry_that_makes_no_sense_is_refused(wrong, said):
    from archive.campaign_entries import checked_entry

    with pytest.raises(LibraryError, match=said):
        checked_entry(replace(entry(), **wrong))


def test_an_entry_comes_back_as_it_was():
    whole = entry(kind="result", survey="night-001", electrons=1e9)
    assert entry_of(entry_json(whole)) == whole
    with pytest.raises(LibraryError, match="no entry"):
        entry_of('{"campaign": 3}')
