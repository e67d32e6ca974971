"""Decisions at a microscope for gymnasium: ``make("envs:adaptem/Survey-v0")``, ``Focus-``, ``Holes-``, ``Track-v0``."""

from gymnasium.envs.registration import register

register(id="adaptem/Survey-v0", entry_point="envs.registration:make_survey_env")
register(
    id="adaptem/Focus-v0",
    entry_point="envs.focus_worlds:make_focus_env",
    vector_entry_point="envs.focus_worlds:make_focus_vector_env",
)
register(id="adaptem/Holes-v0", entry_point="envs.hole_env:make_hole_env")
register(id="adaptem/Track-v0", entry_point="envs.track_worlds:make_track_env")
