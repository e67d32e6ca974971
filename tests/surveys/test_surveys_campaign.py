"""A campaign between two laboratories: what each may do, what comes of it, and what others cannot ask for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from pydantic import ValidationError
from survey_samples import small

from archive.campaign_entries import Entry
from archive.library import Library
from archive.library_exchange import export_bundle, import_bundle, merge
from archive.library_records import LibraryError
from configs.errors import ConfigError
from configs.load import load
from surveys.campaign_cell import cell_settings, run_cell
from surveys.campaign_member import Measured, Member, start
from surveys.campaign_posterior import Observation, Posterior, Prior
from surveys.campaign_settings import CampaignSettings, campaign_of
from surveys.campaign_standing import known
from surveys.campaign_told import as_dict, states

LOOKS = {"overview": {"sites": 2, "shape": [32, 32], "dwell_us": 2.0},
         "detail": {"field_of_view_nm": 50.0, "shape": [32, 32], "dwell_us": 10.0}}  # fmt: skip
PRIOR = Prior(0.5, 0.05, 0.1, 0.1, 3)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def made(**changes):
    data = {
        "name": "annealing",
        "question": "does it coarsen?",
        "laboratories": ["north", "south"],
        "specimens": [{"name": name, "simulated": {"heavy_per_um2": each}} for name, each in (("a", 300), ("b", 3000))],
        "conditions": [{"name": "cold"}, {"name": "hot", "simulated": {"heavy_radius_nm": 6.0}}],
        "looks": LOOKS,
        "controls": {"count": 8},
        "budget": {"hours": 1.0, "electrons": 1e12},
        "measure": {"descriptor": "mean_counts"},
    }
    return CampaignSettings.model_validate(data | changes)


class Pair:
    """Two laboratories with a library each, and a clock for both."""

    def __init__(self, folder, **changes):
        self.folder, self.now, self.count = folder, NOON, 0
        self.libraries = {name: Library(folder / f"{name}.sqlite") for name in ("north", "south")}
        opened = start(self.libraries["north"], made(**changes), "north", self.now)
        self.id, self.campaign = opened.campaign, campaign_of([opened])
        self.send("north", "south")
        self.north, self.south = (self.member(name) for name in ("north", "south"))

    def member(self, name):
        return Member(self.libraries[name], self.id, name, lambda: self.now)

    def send(self, one, other):
        self.count += 1
        bundle = self.folder / f"{self.count}.zip"
        export_bundle(self.libraries[one], bundle, (), campaign=self.id)
        return import_bundle(self.libraries[other], bundle)

    def wait(self, hours):
        self.now += timedelta(hours=hours)


@pytest.fixture
def pair(tmp_path):
    both = Pair(tmp_path)
    yield both
    for library in both.libraries.values():
        library.close()


def found(value=1.0):
    return Measured(value=value, std=0.1, n=8, hours=0.5, electrons=1e9)


def test_cells_are_claimed_measured_exchanged_and_given_to_who_asks(pair):
    assert known(pair.libraries["south"].database) == ({pair.id: pair.campaign}, {})
    assert {cell for cell, _ in pair.north.proposals()} == {"a/cold", "b/hot"}
    assert {cell for cell, _ in pair.south.proposals()} == {"a/hot", "b/cold"}
    with pytest.raises(LibraryError, match="south's in this term"):
        pair.north.claim("a/hot")
    first = pair.north.claim("a/cold")
    assert pair.north.taken() == first
    pair.north.measured("a/cold", found(2.0))
    with pytest.raises(LibraryError, match="north has measured it"):
        pair.north.claim("a/cold")
    pair.north.measured(str(pair.north.claim().cell), found(2.5))
    with pytest.raises(LibraryError, match="exchange bundles"):
        pair.north.claim()
    asked = {entry.cell for entry in pair.north.answer()}
    assert asked == {"a/hot", "b/cold"}
    pair.south.claim("a/hot")  # not knowing
    assert pair.send("north", "south")["new"] == 6
    (granted,) = pair.south.answer()
    assert (granted.kind, granted.cell, granted.to) == ("grant", "b/cold", "north")
    assert pair.south.proposals() == []
    pair.send("south", "north")
    assert pair.send("south", "north")["new"] == 0
    assert [cell for cell, _ in pair.north.proposals()] == ["b/cold"]
    pair.north.measured(str(pair.north.claim().cell), found(1.5))
    pair.south.measured("a/hot", found(1.8))
    merge(pair.libraries["north"], pair.libraries["south"].where)
    merge(pair.libraries["south"], pair.libraries["north"].where)
    ours, theirs = pair.north.standing(), pair.south.standing()
    assert ours.ended() == theirs.ended() == "all 4 cells are measured"
    assert as_dict(ours) == as_dict(theirs)
    assert set(states(ours).values()) == {("done", "north"), ("done", "south")}
    assert as_dict(ours)["wrong"] == []
    with pytest.raises(LibraryError, match="has ended"):
        pair.south.claim()


def test_a_laboratory_that_falls_silent_loses_its_cells_with_the_term_and_a_late_result_is_told_as_done_twice(pair):
    claim = pair.south.claim("a/hot")
    pair.send("south", "north")
    pair.wait(70)
    with pytest.raises(LibraryError, match="south's in this term"):
        pair.north.claim("a/hot")
    pair.wait(2.2)
    assert {cell for cell, _ in pair.north.proposals()} == {"a/hot", "b/cold"}
    pair.north.claim("a/hot")
    pair.north.measured("a/hot", found())
    pair.south.measured(str(claim.cell), found(1.2))
    pair.send("south", "north")
    assert states(pair.north.standing())["a/hot"] == ("twice", "north and south")


def test_a_cell_that_is_given_back_is_open_again(pair):
    pair.north.claim("a/cold")
    pair.north.release("a/cold", "the holder broke")
    assert "a/cold" in dict(pair.north.proposals())
    with pytest.raises(LibraryError, match="not claimed by"):
        pair.south.release("a/hot", "no")
    with pytest.raises(LibraryError, match="did you mean north"):
        Member(pair.libraries["north"], pair.id, "norht")


def test_two_computers_of_one_laboratory_never_claim_the_same(place):
    where = place("shared")
    with Library(where) as one, Library(where) as other:
        opened = start(one, made(), "north", NOON)
        members = [Member(library, opened.campaign, "north", lambda: NOON) for library in (one, other)]
        assert {member.claim().cell for member in members} == {"a/cold", "b/hot"}
        members[1].measured("a/cold", found())
        assert [len(member.standing().results) for member in members] == [1, 1]
        assert as_dict(members[0].standing())["wrong"] == []
        with pytest.raises(LibraryError, match="is open"):
            start(other, made(), "north", NOON)


def test_a_forged_entry_opens_nothing(pair, tmp_path):
    """What names another cell, laboratory or campaign than there is does nothing; a false campaign is refused whole."""
    stranger = Entry(campaign=pair.id, laboratory="stranger", number=1, kind="result", cell="a/hot",
                     made_utc=NOON.isoformat(), value=9.0, std=0.1, n=5, hours=1.0)  # fmt: skip
    pair.libraries["south"].add_all((), (), [(stranger, "x")])
    assert pair.south.standing().results == {}
    false = Entry(campaign="0" * 64, laboratory="north", number=1, kind="opened", made_utc=NOON.isoformat(), text="{}")
    with pytest.raises(LibraryError, match="checksum is another"):
        pair.libraries["south"].add_all((), (), [(false, "x")])
    text = '{"name": "what"}'
    lame = replace(false, campaign=hashlib.sha256(text.encode()).hexdigest(), text=text)
    earlier = Entry(campaign=pair.id, laboratory="stranger", number=1, kind="opened", text=pair.campaign.text,
                    made_utc="1990-01-01T00:00:00+00:00")  # fmt: skip
    far = replace(stranger, laboratory="north", number=9, previous="x", value=1e29, std=1e-300)
    pair.libraries["south"].add_all((), (), [(each, "x") for each in (lame, earlier, far, replace(far, number=8))])
    campaigns, wrong = known(pair.libraries["south"].database)
    assert (set(campaigns), set(wrong)) == ({pair.id}, {lame.campaign})
    assert {cell for cell, _ in pair.south.proposals()} == {"b/cold"}  # the terms did not move; a/hot is told as done
    assert np.isfinite(pair.south.standing().posterior().means).all()


def test_a_cell_is_an_ordinary_survey_by_the_laboratorys_own_config(pair, tmp_path):
    own = small(sites=4, specimens=[{"name": n, "area": {"width_nm": 200, "height_nm": 200}} for n in "ab"])
    own = own.model_copy(update={"out": tmp_path})
    asked = cell_settings(pair.campaign, "b/hot", "north", own)
    assert (asked.instrument.specimen.heavy_per_um2, asked.instrument.specimen.heavy_radius_nm) == (3000, 6.0)
    assert (asked.limits, asked.agent, asked.who) == (own.limits, own.agent, own.who)
    assert asked.seed != cell_settings(pair.campaign, "b/hot", "south", own).seed
    low = run_cell(pair.north, pair.north.claim("a/cold"), own)
    high = run_cell(pair.north, pair.north.claim("b/hot"), own)
    assert high.value - low.value > 4 * np.hypot(low.std, high.std)  # more and larger particles scatter more
    assert (low.n, low.survey, low.hours > 0) == (8, "annealing-a-cold-001", True)
    assert len(pair.libraries["north"]) > 0
    assert pair.north.standing().results["a/cold"][0].value == low.value


def test_a_cell_of_several_areas_tells_how_far_pieces_of_one_specimen_differ(tmp_path):
    both = Pair(tmp_path, areas=3, controls={"count": 15})
    areas = [{"name": f"a{after}", "area": {"x_nm": x_nm, "width_nm": 200, "height_nm": 200}}
             for after, x_nm in (("", 0), (".2", 1000), (".3", 2000), (".4", 3000))]  # fmt: skip
    own = small(sites=4, specimens=areas).model_copy(update={"out": tmp_path})
    asked = cell_settings(both.campaign, "a/cold", "north", own)
    assert [each.name for each in asked.specimens] == ["a", "a.2", "a.3"]
    assert (asked.controls.count, asked.budget.hours, asked.budget.electrons) == (5, 1 / 3, 1e12 / 3)
    found = run_cell(both.north, both.north.claim("a/cold"), own)
    assert (found.n, [each.n for each in found.areas]) == (15, [5, 5, 5])
    assert found.value == pytest.approx(np.mean([each.value for each in found.areas]))
    assert as_dict(both.north.standing())["cells"][0]["results"][0]["areas"][0]["n"] == 5
    both.send("north", "south")
    np.testing.assert_allclose(both.south.standing().posterior().means, both.north.standing().posterior().means)
    two = own.model_copy(update={"specimens": own.specimens[:2]})
    with pytest.raises(ConfigError, match=r"3 areas of specimen 'a' asked, your config has 2 among a, a\.2"):
        cell_settings(both.campaign, "a/cold", "north", two)
    for library in both.libraries.values():
        library.close()


def test_areas_that_differ_make_the_posterior_less_sure_than_their_own_errors():
    cells = [(row, column) for row in range(3) for column in range(3)]
    calibrated = replace(PRIOR, laboratory=1e-4)

    def posterior(*off):
        seen = [
            Observation(cell=n, laboratory=0, areas=tuple((0.1 * n + each, 0.01) for each in off)) for n in range(9)
        ]
        return Posterior(cells, 1, seen, calibrated)

    even, uneven, one = posterior(-0.005, 0.005), posterior(-0.2, 0.2), posterior(0.0)
    assert (uneven.stds > 5 * even.stds).all()
    assert (one.stds > 2 * even.stds).all()  # of one area each it is only supposed how far they differ


def test_what_a_laboratorys_own_config_does_not_allow_is_refused_and_given_back(pair):
    short = small(sites=4, budget={"hours": 0.5})
    with pytest.raises(ConfigError, match=r"asks 1 h .* allows 0.5 h"):
        cell_settings(pair.campaign, "a/cold", "north", short)
    claim = pair.north.claim("b/hot")
    with pytest.raises(ConfigError, match="1 area of specimen 'b' asked, your config has 0 among a"):
        run_cell(pair.north, claim, small(sites=4))
    assert "b/hot" in dict(pair.north.proposals())
    assert pair.north.standing().entries[-1].kind == "release"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"laboratories": ["north", "north"]}, "names of their own"),
        ({"laboratories": [{"name": "north", "specimens": ["a"]}]}, "no laboratory has a piece of b"),
        ({"laboratories": [{"name": "north", "specimens": ["c"]}]}, "unknown specimen"),
        ({"measure": {"descriptor": "mean_count"}}, "did you mean mean_counts"),
        ({"terms": {"term_hours": 10, "lease_hours": 10}}, "does not fit into a term"),
        ({"budget": {"hours": 20, "electrons": 1e9}}, "raise terms.lease_hours"),
        ({"conditions": [{"name": f"c{n}"} for n in range(60)]}, "at most 100 cells"),
        ({"areas": 3}, r"controls.count 8 for 3 areas a cell: give at least 5 to each"),
        ({"limits": {}}, "unknown key"),
        ({"instrument": {}}, "unknown key"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused(wrong, said):
    with pytest.raises(ValidationError, match=said):
        made(**wrong)


def test_the_example_is_a_campaign(root):
    campaign = load(root / "configs" / "campaign_example.yaml", CampaignSettings)
    assert len(campaign.grid) == 12
    homes = [campaign.able(cell)[0] for cell in campaign.grid]
    assert homes.count("north") == homes.count("south") == 6
    for line in range(4):
        assert len(set(homes[3 * line : 3 * line + 3])) == 2  # every specimen is seen by both


def test_the_posterior_is_right_as_often_as_it_says_and_asks_where_it_knows_least():
    cells = [(row, column) for row in range(4) for column in range(3)]
    random, inside, grid = np.random.default_rng(5), [], []
    for _ in range(120):
        effects = random.normal(0, 0.4, 4)[:, None] + random.normal(0, 0.3, 3) + random.normal(0, 0.1, (4, 3))
        truth, offsets = effects.ravel(), random.normal(0, 0.05, 2)
        seen = [
            Observation(
                cell=n,
                laboratory=sum(cells[n]) % 2,
                areas=tuple(
                    (truth[n] + offsets[sum(cells[n]) % 2] + random.normal(0, 0.15) + random.normal(0, 0.1), 0.1)
                    for _ in range(3)
                ),
            )
            for n in range(12)
        ]
        posterior = Posterior(cells, 2, seen, PRIOR)
        inside.append(np.abs(posterior.means - truth) < 1.96 * posterior.stds)
        mean, std = posterior.total()
        grid.append(abs(mean - truth.mean()) < 1.96 * std)
    assert 0.92 < np.mean(inside) < 0.99
    assert np.mean(grid) > 0.9
    few = Posterior(cells, 2, seen[:3], PRIOR)
    gains = [few.gain(n, 0) for n in range(12)]
    assert max(gains[:3]) < min(gains[3:])
    assert few.gain(0, 1) > few.gain(0, 0)  # the other laboratory's calibration is not known yet
    again = Posterior(cells, 2, seen[:3][::-1], PRIOR)
    np.testing.assert_allclose(few.means, again.means, atol=1e-9)
