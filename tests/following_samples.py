"""A short run of following, for tests: two places, one look, one region with little dose."""

from __future__ import annotations

CONFIG = "configs/track_liquid_cell.yaml"
SCENE = (
    "tick_s=10",
    "sets=48",
    "places=[{x_nm: 0, y_nm: 0}, {x_nm: 600, y_nm: 0}]",
    "controls.places=[{x_nm: 0, y_nm: 1500}]",
    "program=[{at_s: 10, condition: concentration_mM, value: 4.0}]",
    "looks={quick: {signal: HAADF, field_of_view_nm: 400, pixels: 128, dwell_us: 1}}",
    "controls.look=quick",
)
SHORT = ("horizon_s=150", "electrons=1.5e8", *SCENE)
