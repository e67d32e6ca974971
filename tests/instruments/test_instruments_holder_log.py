"""Logs of holders: read in the field's units, with gaps and clocks that jump told, and laid beside frames."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.common import DATA
from configs.errors import ConfigError
from instruments.holder_log import read_holder_log

HEATER = """0\t21
30\t600
23/09/'22 12:55\tDigiheater 3.2
sample\ttime\tTset[C]\tTmeas[C]\tVheat[V]\tc
"""


def heater(tmp_path, rows):
    path = tmp_path / "log.txt"
    path.write_text(
        HEATER + "".join(f"{n}\t{t}\t{k:.1f}\t{k + 0.5:.1f}\t0.1\t1.0\tnorm\n" for n, (t, k) in enumerate(rows))
    )
    return path


def clock(seconds):
    seconds %= 86400
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:05.2f}"


def test_a_heaters_log_comes_in_kelvin_and_seconds_over_midnight(tmp_path):
    log = read_holder_log(heater(tmp_path, [(clock(86390 + n), 20 + n) for n in range(40)]))
    np.testing.assert_allclose(log.times_s, np.arange(40.0), atol=1e-6)
    assert log.conditions["temperature_K"][0] == pytest.approx(293.65)
    assert log.conditions["temperature_set_K"][-1] == pytest.approx(332.15)
    assert log.conditions["vheat_V"][0] == 0.1
    assert log.problems == ()
    assert log.interval_s == pytest.approx(1.0)


def test_a_gap_is_told_and_nothing_is_read_in_it(tmp_path):
    times = [*range(20), *range(80, 100)]
    log = read_holder_log(heater(tmp_path, [(clock(1000 + t), 20) for t in times]))
    assert log.problems == ("a gap of 61.0 s after 19.0 s (usually 1.00 s)",)
    assert log.at("temperature_K", 19.4).value == pytest.approx(293.65)
    inside = log.at("temperature_K", 50.0)
    assert inside.value is None
    assert not inside.valid
    assert inside.age_s == pytest.approx(31.0)
    assert log.at("temperature_K", -1.0).value is None


def test_a_clock_that_runs_back_is_told(tmp_path):
    times = [*range(20), *range(10, 30)]
    log = read_holder_log(heater(tmp_path, [(clock(1000 + t), 20) for t in times]))
    assert "the clock ran back at 19.0 s, by 9.0 s; 10 sample(s)" in log.problems[0]
    assert (np.diff(log.times_s) > 0).all()


@pytest.mark.parametrize("end", ["\n\n", "End of log\n", "\t\n"])
def test_what_a_log_ends_with_moves_no_midnight(tmp_path, end):
    path = heater(tmp_path, [(clock(86300 + n), 20) for n in range(200)])
    path.write_text(path.read_text() + end)
    assert len(read_holder_log(path).times_s) == 200


def test_a_time_that_is_none_costs_one_sample(tmp_path):
    times = [str(n) for n in range(40)]
    times[10] = "nan"
    path = tmp_path / "plain.csv"
    path.write_text("".join(f"{t},{20 + n}\n" for n, t in enumerate(times)))
    log = read_holder_log(path)
    assert len(log.times_s) == 39
    assert log.problems == ("1 line(s) are no samples and were left out",)
    shift = log.shift_of("temperature_K", np.array([5.0, 20.0, 30.0]), np.array([300.15, 315.15, 325.15]), 10.0)
    assert shift.by_s == pytest.approx(2.0, abs=1.0)


def test_the_shift_of_another_clock_is_found(tmp_path):
    log = read_holder_log(heater(tmp_path, [(clock(1000 + n), 20 + 0.1 * n) for n in range(600)]))
    times = np.array([50.0, 200.0, 400.0])
    values = np.interp(times + 37.0, log.times_s, log.conditions["temperature_K"])
    shift = log.shift_of("temperature_K", times, values, 120.0)
    assert shift.by_s == pytest.approx(37.0, abs=1.0)
    assert shift.matters
    assert not log.shift_of("temperature_K", times + 37.0, values, 120.0).matters


def test_plain_columns_and_bad_files(tmp_path):
    path = tmp_path / "plain.csv"
    path.write_text("0,20\n1,21\n2,rubbish\nnot a line\n3,23\n")
    log = read_holder_log(path)
    assert log.conditions["temperature_K"][1] == pytest.approx(294.15)
    assert "1 line(s) are no samples" in log.problems[0]
    assert log.problems[1] == "1 sample(s) hold no number for temperature_K"
    assert (log.at("temperature_K", 2.0).value, log.at("temperature_K", 2.0).valid) == (None, False)
    assert log.at("temperature_K", 3.0).valid
    with pytest.raises(ConfigError, match="it holds temperature_K"):
        log.at("bias_V", 0.0)
    empty = tmp_path / "empty.txt"
    empty.write_text("nothing here\n")
    with pytest.raises(ConfigError, match="0 samples were found"):
        read_holder_log(empty)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_holder_log(tmp_path / "none.txt")


def test_the_recorded_heating_of_titanium_is_read_and_fits_its_frames():
    folder = DATA / "insitu_ti"
    if not folder.exists():
        pytest.skip("no recorded heating of titanium")
    log = read_holder_log(folder / "heater_log.txt")
    assert len(log.times_s) == 15022
    assert log.conditions["temperature_K"].max() == pytest.approx(873.15, abs=5)
    frames = np.genfromtxt(folder / "frame_time_temperature.csv", delimiter=",", skip_header=1)
    shift = log.shift_of("temperature_K", frames[:, 1], frames[:, 2] + 273.15, 600.0)
    assert shift.off < 3.0
