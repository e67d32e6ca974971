"""The fake microscope, a new one for each test."""

from __future__ import annotations

import pytest
from instruments_fake import FakeMicroscope

from instruments.clock import SimulatedClock


@pytest.fixture
def scope() -> FakeMicroscope:
    """Blanked, at (0, 0), 100 pA."""
    return FakeMicroscope(SimulatedClock())
