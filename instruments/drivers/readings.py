"""Sensors of which a vendor tells yes or no, and no number."""

from __future__ import annotations

from instruments.types import Reading


def ready(found: bool) -> Reading:
    """A vacuum that the column itself calls ready, or does not: then nobody knows how bad it is."""
    return Reading(value=1.0 if found else None, unit="ready", age_s=0.0, valid=found)


def on(found: bool) -> Reading:
    """A gun that emits, or does not: ``Reading.unit`` says that it is no current."""
    return Reading(value=float(found), unit="on", age_s=0.0)
