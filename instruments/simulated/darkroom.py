"""Where frames of specimens are developed: by themselves, or those of several worlds as one batch."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
import torch

from instruments.simulated.agreement import doubt
from instruments.simulated.renderer import Camera, Renderer, Views, open_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from instruments.simulated.recipe import Recipe

    Rings: TypeAlias = Mapping[str, tuple[float, float] | None]
    """Inner and outer angle in mrad by detector; None: the screen of a wide beam."""

_MOST = 64
"""Kinds of frame that are kept."""


class Darkroom:
    """Renders what one world asks for."""

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        """Raises ConfigError where the device is not there."""
        self._recipe = recipe
        self._device = open_device(device)
        self._renderers: dict[Camera, Renderer] = {}
        self._lock = threading.Lock()

    def shares(self, camera: Camera, views: Views) -> torch.Tensor:
        """Expected shares of the electrons (B, S, H, W), on the device. Raises as ``Renderer.shares`` does."""
        return self._renderer(camera).shares(views)

    def thickness_nm(self, camera: Camera) -> float:
        """Of the crystal that a fine view shows."""
        return self._renderer(camera).thickness_nm()

    def beyond_range(self, camera: Camera, defocus_nm: float, ring_mrad: tuple[float, float] | None) -> str | None:
        """Why such frames are not to be trusted, where that is known; arguments as of ``agreement.doubt``."""
        renderer = self._renderer(camera)
        material, thick_nm = renderer.crystal_nm()
        if material is None or not renderer.fine:
            return None
        film = self._recipe.film
        return doubt(
            self._recipe.materials[material],
            thick_nm,
            defocus_nm,
            voltage_kV=camera.voltage_kV,
            convergence_mrad=camera.convergence_mrad,
            ring_mrad=ring_mrad,
            tilt_deg=0.0 if film is None or film.material != material else film.mistilt_deg,
        )

    def doubts(self, camera: Camera, defocus_nm: float, rings: Rings) -> tuple[str, ...]:
        """``beyond_range`` of every detector that has something to say, its name before it."""
        found = {name: self.beyond_range(camera, defocus_nm, ring) for name, ring in rings.items()}
        return tuple(f"{name}: {why}" for name, why in found.items() if why is not None)

    def _renderer(self, camera: Camera) -> Renderer:
        with self._lock:  # worlds in several threads ask for thicknesses while one of them renders
            if camera not in self._renderers:
                if len(self._renderers) == _MOST:
                    del self._renderers[next(iter(self._renderers))]
                self._renderers[camera] = Renderer(self._recipe, camera, self._device)
            return self._renderers[camera]


class Developer(Protocol):
    """What a world renders with."""

    def shares(self, camera: Camera, views: Views) -> torch.Tensor: ...

    def thickness_nm(self, camera: Camera) -> float: ...

    def doubts(self, camera: Camera, defocus_nm: float, rings: Rings) -> tuple[str, ...]: ...


@dataclass(slots=True)
class _Order:
    room: Darkroom
    camera: Camera
    views: Views
    shares: torch.Tensor | None = None
    error: Exception | None = None


class Studio:
    """Renders together what worlds that run in threads of their own ask for at the same time.

    A frame is the same as if it had been rendered alone: what it stands beside only saves time.
    """

    def __init__(self, device: str = "cpu") -> None:
        """``device``: auto, cpu or cuda; dark fields are rendered there, all else on the CPU.

        Raises ConfigError where the device is not there.
        """
        self._device = device
        open_device(device)
        self._rooms: dict[str, Darkroom] = {}
        self._changed = threading.Condition()
        self._at_work = 0
        self._orders: list[_Order] = []

    def darkroom(self, recipe: Recipe) -> Developer:
        """The place where frames of this specimen are ordered; worlds of equal recipes share it."""
        key = recipe.model_dump_json()
        with self._changed:
            if key not in self._rooms:
                self._rooms[key] = Darkroom(recipe, self._device)
            return _Counter(self, self._rooms[key])

    def expect(self, worlds: int) -> None:
        """So many worlds begin to work now; each tells by ``working`` when it is done."""
        with self._changed:
            self._at_work += worlds

    @contextmanager
    def working(self) -> Iterator[None]:
        """The work of one world that was expected."""
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._develop_if_all_wait()

    def order(self, room: Darkroom, camera: Camera, views: Views) -> torch.Tensor:
        """Shares of these views, once every world that works has ordered or is done."""
        order = _Order(room, camera, views)
        with self._changed:
            self._orders.append(order)
            self._develop_if_all_wait()
            while order.shares is None and order.error is None:
                self._changed.wait()
        if order.shares is None:
            raise order.error or RuntimeError("a frame was ordered and nothing came of it")
        return order.shares

    def _develop_if_all_wait(self) -> None:
        if not self._orders or len(self._orders) < self._at_work:
            return
        kinds: dict[tuple[int, Camera], list[_Order]] = {}
        for order in self._orders:
            kinds.setdefault((id(order.room), order.camera), []).append(order)
        self._orders = []
        for orders in kinds.values():
            try:
                shares = orders[0].room.shares(orders[0].camera, _together([order.views for order in orders]))
                parts = torch.split(shares, [len(order.views.seeds) for order in orders])
                for order, part in zip(orders, parts, strict=True):
                    order.shares = part
            except Exception as error:  # told to each world that asked: a thread that waits must not wait for ever
                for order in orders:
                    order.error = error
        self._changed.notify_all()


class _Counter:
    """A darkroom as one world sees it."""

    def __init__(self, studio: Studio, room: Darkroom) -> None:
        self._studio, self._room = studio, room

    def shares(self, camera: Camera, views: Views) -> torch.Tensor:
        return self._studio.order(self._room, camera, views)

    def thickness_nm(self, camera: Camera) -> float:
        return self._room.thickness_nm(camera)

    def doubts(self, camera: Camera, defocus_nm: float, rings: Rings) -> tuple[str, ...]:
        return self._room.doubts(camera, defocus_nm, rings)


def _together(parts: Sequence[Views]) -> Views:
    """All views as one batch. Optional arrays must be there in all of them or in none."""
    if len(parts) == 1:
        return parts[0]
    joined: dict[str, Any] = {}
    for each in fields(Views):
        values = [getattr(part, each.name) for part in parts]
        if values[0] is None:
            joined[each.name] = None
        else:
            joined[each.name] = torch.cat(values) if isinstance(values[0], torch.Tensor) else np.concatenate(values)
    return Views(**joined)
