"""How each rare feature looks: nanometres of material added to the projected specimen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from instruments.simulated.hashing import Floats, uniform
from instruments.simulated.projection import Canvas, Ellipsoids, Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from instruments.simulated.rare import Feature

_SHAPE = 103


class Materials:
    """What is drawn on: projected thickness of each material, (H, W) nm, changed in place."""

    def __init__(
        self, canvas: Canvas, film_nm: Floats, light_nm: Floats, heavy_nm: Floats, order: Floats | None
    ) -> None:
        self.canvas = canvas
        self.film_nm = film_nm
        self.light_nm = light_nm
        self.heavy_nm = heavy_nm
        self.order = order
        """How much of the structure the beam has left, 0…1; None = untouched."""


def draw(feature: Feature, on: Materials) -> None:
    """Add one rare feature."""
    view = on.canvas.window(feature.x_nm, feature.y_nm, feature.size_nm)
    if view is not None:
        _DRAWN[feature.kind](feature, on, view)


def _void(feature: Feature, on: Materials, view: Window) -> None:
    """A hollow shell: a sphere of oxide less a sphere inside it."""
    outer = feature.size_nm / 2
    inner = outer * 0.78
    squared = view.dx_nm**2 + view.dy_nm**2
    shell = np.sqrt(np.maximum(outer**2 - squared, 0)) - np.sqrt(np.maximum(inner**2 - squared, 0))
    on.light_nm[view.rows, view.columns] += 2 * shell


def _rod(feature: Feature, on: Materials, view: Window) -> None:
    """A cylinder with round ends, of metal."""
    radius = 2.6
    along, across = _turned(feature, view)
    beyond = np.maximum(np.abs(along) - (feature.size_nm / 2 - radius), 0)
    on.heavy_nm[view.rows, view.columns] += 1.4 * np.sqrt(np.maximum(radius**2 - beyond**2 - across**2, 0))


def _cluster(feature: Feature, on: Materials, view: Window) -> None:
    """A core of oxide with a ring of tiny bright satellites."""
    del view
    draws = uniform(feature.id, _SHAPE, np.arange(14)[:, None], np.arange(3)[None, :])
    angles = (2 * math.pi / 14) * (np.arange(14) + 0.7 * draws[:, 0])
    distances = feature.size_nm * (0.3 + 0.17 * draws[:, 1])
    radius = (1.0 + 0.6 * draws[:, 2]).astype(np.float32)
    satellites = Ellipsoids(
        (feature.x_nm + distances * np.cos(angles)),
        (feature.y_nm + distances * np.sin(angles)),
        radius,
        radius,
        radius,
        np.zeros(14, dtype=np.float32),
    )
    core = np.array([0.26 * feature.size_nm], dtype=np.float32)
    middle = Ellipsoids(np.array([feature.x_nm]), np.array([feature.y_nm]), core, core, core, np.zeros(1, np.float32))
    _add(on.heavy_nm, on.canvas, feature, satellites)
    _add(on.light_nm, on.canvas, feature, middle)


def _lattice(feature: Feature, on: Materials, view: Window) -> None:
    """A flat hexagonal flake with two sets of fringes, which the beam destroys first."""
    along, across = _turned(feature, view)
    edge = np.full(np.broadcast_shapes(along.shape, across.shape), -np.inf, dtype=np.float32)
    for n in range(3):
        angle = n * math.pi / 3
        np.maximum(edge, np.abs(along * math.cos(angle) + across * math.sin(angle)), out=edge)
    pixel = on.canvas.pixel_nm
    inside = np.clip((0.433 * feature.size_nm - edge) / max(pixel, 0.5) + 0.5, 0, 1)
    spacing = 1.3 + 0.6 * float(uniform(feature.id, _SHAPE, 0))
    fringes = np.zeros_like(inside)
    if pixel < spacing / 2:  # beyond that a pixel averages the fringes away
        kept = float(np.sinc(pixel / spacing))
        for angle in (0.0, math.pi / 3):
            fringes += kept * np.cos((2 * math.pi / spacing) * (along * math.cos(angle) + across * math.sin(angle)))
    if on.order is not None:
        fringes *= on.order[view.rows, view.columns] ** 2
    on.light_nm[view.rows, view.columns] += inside * (8.0 + 3.5 * fringes)


def _crack(feature: Feature, on: Materials, view: Window) -> None:
    """A narrow wavy slit in the film."""
    along, across = _turned(feature, view)
    phases = 2 * math.pi * uniform(feature.id, _SHAPE, np.arange(2))
    half = feature.size_nm / 2
    path = 2.2 * np.sin(along * (2 * math.pi / 21) + phases[0]) + 1.1 * np.sin(along * (2 * math.pi / 9) + phases[1])
    width = 1.7 * np.sqrt(np.maximum(1 - (along / half) ** 2, 0))
    pixel = on.canvas.pixel_nm
    gap = np.clip((width - np.abs(across - path)) / max(pixel, 0.5) + 0.5, 0, 1) * np.minimum(width / (0.5 * pixel), 1)
    for material in (on.film_nm, on.light_nm, on.heavy_nm):
        material[view.rows, view.columns] *= 1 - 0.95 * gap


_DRAWN: dict[str, Callable[[Feature, Materials, Window], None]] = {
    "void": _void,
    "rod": _rod,
    "cluster": _cluster,
    "lattice": _lattice,
    "crack": _crack,
}


def _turned(feature: Feature, view: Window) -> tuple[Floats, Floats]:
    """Coordinates along and across the feature's own direction, (H, W) each."""
    cos, sin = np.float32(math.cos(feature.direction_rad)), np.float32(math.sin(feature.direction_rad))
    return view.dx_nm * cos + view.dy_nm * sin, view.dy_nm * cos - view.dx_nm * sin


def _add(material_nm: Floats, canvas: Canvas, feature: Feature, particles: Ellipsoids) -> None:
    """Draw particles of a feature on the part of the canvas around it only."""
    view = canvas.window(feature.x_nm, feature.y_nm, 0.6 * feature.size_nm + 2 * canvas.pixel_nm)
    if view is not None:
        part = Canvas(
            x0_nm=canvas.x0_nm - canvas.pixel_nm * view.columns.start,
            y0_nm=canvas.y0_nm - canvas.pixel_nm * view.rows.start,
            pixel_nm=canvas.pixel_nm,
            shape=(view.rows.stop - view.rows.start, view.columns.stop - view.columns.start),
        )
        material_nm[view.rows, view.columns] += part.thickness(particles)
