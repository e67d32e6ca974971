"""Where frames of one specimen are developed: one renderer for each kind of frame, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.simulated.renderer import Camera, Renderer, Views, open_device

if TYPE_CHECKING:
    import torch

    from instruments.simulated.recipe import Recipe

_MOST = 64
"""Kinds of frame that are kept."""


class Darkroom:
    """Renders by itself what it is asked for."""

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        """Raises ConfigError where the device is not there."""
        self._recipe = recipe
        self._device = open_device(device)
        self._renderers: dict[Camera, Renderer] = {}

    def shares(self, camera: Camera, views: Views) -> torch.Tensor:
        """Expected shares of the electrons (B, S, H, W), on the device. Raises as ``Renderer.shares`` does."""
        return self._renderer(camera).shares(views)

    def thickness_nm(self, camera: Camera) -> float:
        """Of the crystal that a fine view shows."""
        return self._renderer(camera).thickness_nm()

    def _renderer(self, camera: Camera) -> Renderer:
        if camera not in self._renderers:
            if len(self._renderers) == _MOST:
                del self._renderers[next(iter(self._renderers))]
            self._renderers[camera] = Renderer(self._recipe, camera, self._device)
        return self._renderers[camera]
