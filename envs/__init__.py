"""Decisions at a microscope as a gymnasium environment: ``gymnasium.make("envs:adaptem/Survey-v0")``."""

from gymnasium.envs.registration import register

register(id="adaptem/Survey-v0", entry_point="envs.registration:make_survey_env")
