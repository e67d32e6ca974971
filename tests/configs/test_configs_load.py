from __future__ import annotations

import datetime as dt
import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator

from configs.load import ConfigError, Settings, dump, load


class Replay(Settings):
    kind: Literal["replay"] = "replay"
    image: Path = Path("film.png")
    pixel_size_nm: float | None = None


class Simulated(Settings):
    kind: Literal["simulated"] = "simulated"
    grains: int = 3


class Look(Settings):
    name: str
    dwell_us: Annotated[float, Field(gt=0)] = 2.0
    shape: tuple[int, int] = (256, 256)


class Night(Settings):
    name: str = "night"
    instrument: Annotated[Replay | Simulated, Field(discriminator="kind")] = Simulated()
    looks: tuple[Look, ...] = ()
    time_s: float = 60.0
    day: dt.date | None = None
    notes: dict[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _named(cls, value: str) -> str:
        if not value:
            raise ValueError("a night needs a name")
        return value


@pytest.fixture
def config(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "night.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def problems(path: Path, *sets: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, Night, sets)
    return [line.removeprefix(f"{path}") for line in caught.value.problems]


def test_reads_nested_settings(config: Any) -> None:
    path = config(
        "instrument: {kind: replay, image: a/b.tif, pixel_size_nm: 1e-3}\n"
        "looks:\n- name: overview\n  dwell_us: 1e1\n  shape: [64, 64]\n- name: detail\n"
        "time_s: 28_800\nday: 2027-01-31\n"
    )
    night = load(path, Night)
    assert night.instrument == Replay(image=Path("a/b.tif"), pixel_size_nm=1e-3)
    assert night.looks == (Look(name="overview", dwell_us=10.0, shape=(64, 64)), Look(name="detail"))
    assert night.time_s == 28800
    assert night.day == dt.date(2027, 1, 31)


def test_words_stay_words(config: Any) -> None:
    night = load(config("name: no\nnotes: {start: 12:30, on: off, version: 1.2.3, tilde: '~', code: '1e-3'}\n"), Night)
    assert night.name == "no"
    assert night.notes == {"start": "12:30", "on": "off", "version": "1.2.3", "tilde": "~", "code": "1e-3"}


def test_all_problems_at_once_with_lines(config: Any) -> None:
    path = config(
        "instrument:\n  kind: replay\n  imgae: a.png\nlooks:\n- name: 5\n  dwell_us: -1\n- {}\ntimes: 3\nday: soon\n"
    )
    assert problems(path) == [
        ":3: instrument.imgae: unknown key; did you mean image?",
        ":5: looks.0.name: should be a valid string, found 5; put it in quotes",
        ":6: looks.0.dwell_us: should be greater than 0, found -1",
        ":7: looks.1.name: missing; it has no default",
        ":8: times: unknown key; did you mean time_s (seconds)?",
        ":9: day: should be a valid date or datetime, input is too short, found 'soon'",
    ]


@pytest.mark.parametrize("key", ["dwell_ms", "dwell", "dwel_us", "Dwell_us", "dwell_s"])
def test_the_wrong_unit_names_the_right_one(config: Any, key: str) -> None:
    assert problems(config(f"looks:\n- name: a\n  {key}: 3\n")) == [
        f":3: looks.0.{key}: unknown key; did you mean dwell_us (microseconds)?"
    ]


def test_a_key_like_none_lists_the_known(config: Any) -> None:
    (line,) = problems(config("zzz: 1\n"))
    assert line == ":1: zzz: unknown key; known here: name, instrument, looks, time_s, day, notes"


def test_duplicate_keys_are_refused_with_both_lines(config: Any) -> None:
    path = config("time_s: 1\nname: a\ntime_s: 2\nlooks:\n- name: a\n  name: b\n")
    assert problems(path) == [
        ":3: time_s: given twice, first in line 1; keep one",
        ":6: looks.0.name: given twice, first in line 5; keep one",
    ]


@pytest.mark.parametrize("text", [".nan", ".inf", "-.INF", "1e999", "9" * 400, "9" * 5000])
def test_numbers_that_are_not_finite_are_refused_once(config: Any, text: str) -> None:
    (line,) = problems(config(f"time_s: {text}\n"))
    assert line.startswith(":1: time_s: ")


@pytest.mark.parametrize("value", [math.nan, math.inf, "nan", "inf"])
def test_settings_made_in_code_are_as_strict(value: object) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Night(time_s=value)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="did you mean dwell_us"):
        Look(name="a", dwell_ms=3)  # type: ignore[call-arg]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Night().time_s = 3.0  # type: ignore[misc]


def test_set_overrides_what_the_file_says_and_what_it_leaves_out(config: Any) -> None:
    path = config("looks:\n- name: a\n- name: b\n")
    night = load(
        path,
        Night,
        [
            "looks.1.dwell_us=1e-1",
            "looks.0.shape=[8, 9]",
            "instrument.kind=replay",
            "instrument.image=a b.png",
            "day=null",
        ],
    )
    assert night.looks == (Look(name="a", shape=(8, 9)), Look(name="b", dwell_us=0.1))
    assert night.instrument == Replay(image=Path("a b.png"))
    assert night.day is None


def test_set_refuses_what_does_not_exist(config: Any) -> None:
    path = config("name: a\nlooks:\n- name: a\n")
    assert problems(path, "instrumnt.kind=replay", "looks.4.name=b", "name.x=1", "time_s", "day=*x", "time_s=[1") == [
        "--set: looks.4: no such item; they are counted from 0 to 0",
        "--set: name.x: name is one value and has nothing below it",
        "--set: time_s: write it as a.b=value, the path with dots and then the value",
        "--set: day: not valid YAML: found undefined alias 'x'",
        "--set: time_s: not valid YAML: expected ',' or ']', but got '<stream end>'",
        "--set: instrumnt: unknown key; did you mean instrument?",
    ]


def test_a_discriminator_that_is_unknown_or_missing(config: Any) -> None:
    assert "'replay', 'simulated'" in problems(config("instrument: {kind: rplay}\n"))[0]
    assert "'kind'" in problems(config("instrument: {}\n"))[0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ": the file is empty; `adaptem init` writes one to start from"),
        ("# only a comment\n", ": the file is empty; `adaptem init` writes one to start from"),
        ("- 1\n", ": this is not a config, which is lines of `key: value`; `adaptem init` writes one to start from"),
        ("a: b: c\n", ":1: not valid YAML: mapping values are not allowed here"),
        ("[" * 5000, ": nested too deeply"),
        ("a: !!python/object/apply:os.system [ls]\n", None),
        ("a: &x [*x]\n", None),
        ("? [a]\n: 1\n", None),
        ("--- {}\n--- {}\n", None),
        ("a: '\x00'", None),
    ],
)
def test_what_is_not_a_config_is_refused(config: Any, text: str, line: str | None) -> None:
    found = problems(config(text))
    assert all("\n" not in one for one in found)
    assert line is None or found == [line]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "no such file" in problems(tmp_path / "none.yaml")[0]
    assert "a folder" in problems(tmp_path)[0]
    (tmp_path / "image.yaml").write_bytes(b"\x89PNG\xff\xfe")
    assert "not a text file" in problems(tmp_path / "image.yaml")[0]
    assert "cannot be read" in problems(tmp_path / "a\0b")[0]
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "cannot be read" in problems(tmp_path / "loop.yaml")[0]
    (tmp_path / "closed.yaml").write_text("name: a")
    (tmp_path / "closed.yaml").chmod(0)
    if not os.access(tmp_path / "closed.yaml", os.R_OK):
        assert "cannot be read" in problems(tmp_path / "closed.yaml")[0]


SCALARS = st.from_regex(r"[-+.0-9eE_:~]{1,6}", fullmatch=True) | st.sampled_from(["no", "null"])
NIGHTS = st.builds(
    Night,
    name=st.text(min_size=1),
    instrument=st.builds(Replay, pixel_size_nm=st.none() | st.floats(allow_nan=False, allow_infinity=False)),
    looks=st.lists(st.builds(Look, name=st.text(), dwell_us=st.floats(1e-9, 1e9)), max_size=3).map(tuple),
    time_s=st.floats(allow_nan=False, allow_infinity=False),
    day=st.none() | st.dates(),
    notes=st.dictionaries(
        st.text(), st.from_regex(r"[-+.0-9eE_:~]{1,6}", fullmatch=True) | st.sampled_from(["no", "null"])
    ),
)


@given(night=NIGHTS)
def test_dump_and_load_give_the_same_settings(tmp_path_factory: pytest.TempPathFactory, night: Night) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(dump(night), encoding="utf-8", newline="")
    assert load(path, Night) == night
    assert yaml.safe_load(dump(night))["notes"] == night.notes


@given(text=st.text(alphabet="ab:-[]{}&*!|>'\"#%@`? \n\t019.e~,", max_size=40))
def test_no_text_makes_the_loader_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError):
        load(path, Replay, ["kind=other"])
