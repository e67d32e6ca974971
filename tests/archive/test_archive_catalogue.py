from __future__ import annotations

import pytest
from archive_samples import new_folder, recorder, step

from archive.catalogue import Catalogue
from archive.errors import FolderError
from archive.folder import SurveyFolder


def test_surveys_are_listed_found_and_brought_up_to_date(tmp_path):
    for name in ("one", "two"):
        with new_folder(tmp_path / name) as folder:
            recorder(folder).close()
    with Catalogue(tmp_path) as catalogue:
        catalogue.refresh()
        assert {entry.path.name for entry in catalogue.surveys()} == {"one", "two"}
        with SurveyFolder.open(tmp_path / "two") as folder:
            keeper = recorder(folder)
            keeper.step(step(0))
            keeper.flags([{"reason": 'a "threading" dislocation'}])
            keeper.close()
        catalogue.refresh()
        (found,) = catalogue.search("dislocation threading")
        assert (found.path.name, found.steps, found.flags) == ("two", 1, 1)
        assert len(catalogue.search("Ada")) == 2
        assert catalogue.search('nothing" OR') == ()
        with pytest.raises(FolderError):
            catalogue.register(tmp_path / "three")
