from __future__ import annotations

import time
from dataclasses import replace

import pytest
from archive_samples import frame, intent, new_folder, recorder, step
from timing import least_cpu_s

from archive.errors import ArchiveError
from archive.reader import SurveyReader
from archive.schema import dump


def test_ten_thousand_steps_stream(tmp_path):
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        text = dump(step(0, 1))
        with keeper.journal._transaction() as database:  # one for all: this is about reading
            database.executemany(
                "INSERT INTO steps (specimen, number, kind, utc, data) VALUES ('a', ?, 'look', '', ?)",
                ((number, text) for number in range(10_000)),
            )
        with SurveyReader(folder.path) as reader:
            stream = reader.steps()
            first_s = least_cpu_s(lambda: [next(stream) for _ in range(1_000)], 2)  # and one to warm up
            start_s = time.process_time()
            assert sum(1 for _ in stream) == 7_000
            assert time.process_time() - start_s < 30 * first_s
        keeper.close()


def test_ten_thousand_exposures_list_in_linear_time(tmp_path):
    """One by one by their index: a scan of all frames for each would take minutes."""
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        exposure_id = intent(keeper)
        keeper.commit(exposure_id, frame(exposure_id))
        spent_s = []
        for first, last in ((2, 1_001), (1_001, 10_001)):
            _copy_exposures(keeper, first, last)
            start_s = time.process_time()
            assert sum(len(row.signals) for row in keeper.rows.exposures()) == 2 * (last - 1)
            spent_s.append(time.process_time() - start_s)
        assert spent_s[1] < 30 * spent_s[0]
        keeper.journal.close()


def _copy_exposures(keeper, first, last):
    with keeper.journal._transaction() as database:
        for number in range(first, last):
            database.execute(
                "INSERT INTO exposures SELECT ?, state, specimen, purpose, tags, exposure, footprint, intent_utc,"
                " frame, end_utc, error, step FROM exposures WHERE id = 1",
                (number,),
            )
            database.execute(
                "INSERT INTO frames SELECT ?, signal, stream, first, count, shape, sha256, axes, unit, calibration,"
                " minimum, maximum, mean FROM frames WHERE exposure = 1",
                (number,),
            )


def test_what_is_no_survey_is_named(tmp_path):
    with pytest.raises(ArchiveError, match=r"no survey\.json"):
        SurveyReader(tmp_path)
    new_folder(tmp_path / "s").close()
    with pytest.raises(ArchiveError, match=r"journal\.sqlite, found no such file"):
        SurveyReader(tmp_path / "s")


def test_signals_come_back_in_the_instruments_order(tmp_path):
    exposed = frame(1)
    both = replace(
        exposed, signals={"HAADF": next(iter(exposed.signals.values())), "BF": next(iter(exposed.signals.values()))}
    )
    with new_folder(tmp_path / "s") as folder:
        keeper = recorder(folder)
        keeper.commit(intent(keeper), both)
        with SurveyReader(tmp_path / "s") as reader:
            assert list(reader.recorded(1).signals) == ["HAADF", "BF"]
        keeper.close()
