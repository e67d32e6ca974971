"""adaptem plan: what it says, what it writes, what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from console_helpers import adaptem, refused

pytest.importorskip("torch", reason="the extra 'simulate' is not installed")

from configs.load import load
from surveys.settings import SurveySettings

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ("--set", "techniques=[HAADF, BF]", "--set", "specimen.thickness_nm=8", "--set", "limits.field_nm=20")
EXAMPLE = "configs/plan_example.yaml"


def test_it_answers_writes_and_what_it_writes_runs(tmp_path: Path) -> None:
    numbers = tmp_path / "numbers.json"
    result = adaptem("plan", EXAMPLE, *QUICK, "--simulate", "--out", tmp_path / "plan", "--json", numbers)
    assert result.exit_code == 0, result.output
    assert "HAADF" in result.stdout and "BF: no answer" in result.stdout
    facts = json.loads(numbers.read_text())
    row = facts["rows"][0]
    assert row["technique"] == "HAADF" and row["evidence"] and row["prior_experiments"] == []
    assert row["simulated"]["trials"] >= 60
    assert (tmp_path / "plan" / "plan.png").stat().st_size > 10_000
    config = tmp_path / "plan" / "survey.yaml"
    assert load(config, SurveySettings).expectation is not None
    ran = adaptem("survey", config, "--out", tmp_path / "night", "--set", "budget.detail_fraction=0.2")
    assert ran.exit_code == 0, ran.output


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("feature.element=Hx", "unknown element"),
        ("techniques=[HADF]", "did you mean HAADF"),
        ("specimen.crystal=SrTiO", "did you mean SrTiO3"),
        ("feature.replaces=Fe", "the specimen holds"),
        ("feature.element=Sr", "the specimen itself holds it"),
        ("feature.atoms=90", "holds"),
        ("specimen.thicknes_nm=3", "did you mean thickness_nm"),
    ],
)
def test_what_it_does_not_know_is_refused_in_one_line(change: str, words: str, tmp_path: Path) -> None:
    result = adaptem("plan", EXAMPLE, "--set", change, "--out", tmp_path / "plan")
    assert words in refused(result)
    assert not (tmp_path / "plan").exists()


def test_the_impossible_fails_and_says_what_would_be_needed(tmp_path: Path) -> None:
    result = adaptem("plan", EXAMPLE, *QUICK, "--set", "limits.fluence_e_per_A2=5", "--out", tmp_path / "plan")
    assert result.exit_code == 1
    assert "impossible within the limits" in result.stdout and "where 5 are allowed" in result.stdout
    assert not (tmp_path / "plan" / "survey.yaml").exists()


def test_a_changed_config_is_kept_and_a_stale_one_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "plan"
    config = place / "survey.yaml"
    for _ in range(2):  # what nobody changed is written again
        assert adaptem("plan", EXAMPLE, *QUICK, "--out", place).exit_code == 0
    impossible = adaptem("plan", EXAMPLE, *QUICK, "--set", "limits.fluence_e_per_A2=5", "--out", place)
    assert impossible.exit_code == 1 and "is removed" in impossible.stdout
    assert not config.exists()
    assert adaptem("plan", EXAMPLE, *QUICK, "--out", place).exit_code == 0
    config.write_text(config.read_text().replace("seed: ", "seed: 1"))
    mine = config.read_bytes()
    for change in ((), ("--set", "limits.fluence_e_per_A2=5")):
        assert "not written over" in refused(adaptem("plan", EXAMPLE, *QUICK, *change, "--out", place))
        assert config.read_bytes() == mine
