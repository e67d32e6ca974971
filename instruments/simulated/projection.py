"""The specimen as the beam sees it: nanometres of each material under every pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instruments.simulated.hashing import Floats

_BATCH_PX = 24
"""Particles up to this half width are drawn many at a time; larger ones singly, cut to the canvas."""


@dataclass(frozen=True, slots=True)
class Ellipsoids:
    """N particles: centres, half axes in the plane, half thickness, direction of the first axis."""

    x_nm: Floats
    y_nm: Floats
    a_nm: Floats
    b_nm: Floats
    c_nm: Floats
    direction_rad: Floats

    def __len__(self) -> int:
        return len(self.x_nm)

    def where(self, keep: np.ndarray) -> Ellipsoids:
        """Those that ``keep`` (N,) selects."""
        fields = (self.x_nm, self.y_nm, self.a_nm, self.b_nm, self.c_nm, self.direction_rad)
        return Ellipsoids(*(values[keep] for values in fields))


def join(parts: list[Ellipsoids]) -> Ellipsoids:
    """All particles of at least one part, in order."""
    names = ("x_nm", "y_nm", "a_nm", "b_nm", "c_nm", "direction_rad")
    return Ellipsoids(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a canvas around a place: where it lies in the arrays, and how far its pixels are from the place."""

    rows: slice
    columns: slice
    dx_nm: Floats
    """(1, W)."""
    dy_nm: Floats
    """(H, 1)."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A grid of pixel centres: place coordinates fall along columns and along rows (images are point-reflected).

    Pixel (r, c) of (H, W) looks at the place (x0 − c·pixel, y0 − r·pixel).
    """

    x0_nm: float
    y0_nm: float
    pixel_nm: float
    shape: tuple[int, int]

    @property
    def xs_nm(self) -> np.ndarray:
        """(W,)."""
        return self.x0_nm - self.pixel_nm * np.arange(self.shape[1])

    @property
    def ys_nm(self) -> np.ndarray:
        """(H,)."""
        return self.y0_nm - self.pixel_nm * np.arange(self.shape[0])

    @property
    def x_range_nm(self) -> tuple[float, float]:
        return self.x0_nm - self.pixel_nm * (self.shape[1] - 1), self.x0_nm

    @property
    def y_range_nm(self) -> tuple[float, float]:
        return self.y0_nm - self.pixel_nm * (self.shape[0] - 1), self.y0_nm

    def window(self, x_nm: float, y_nm: float, half_nm: float) -> Window | None:
        """The pixels within ``half_nm`` of a place along both axes; None where there are none."""
        rows = _span((self.y0_nm - y_nm) / self.pixel_nm, half_nm / self.pixel_nm, self.shape[0])
        columns = _span((self.x0_nm - x_nm) / self.pixel_nm, half_nm / self.pixel_nm, self.shape[1])
        if rows is None or columns is None:
            return None
        dx = (self.x0_nm - x_nm) - self.pixel_nm * np.arange(columns.start, columns.stop)
        dy = (self.y0_nm - y_nm) - self.pixel_nm * np.arange(rows.start, rows.stop)
        return Window(rows, columns, dx.astype(np.float32)[None, :], dy.astype(np.float32)[:, None])

    def thickness(self, particles: Ellipsoids) -> Floats:
        """Projected thickness in nm, (H, W): particles that overlap add up.

        What is smaller than a pixel is spread over about one, at equal volume.
        """
        total = np.zeros(self.shape, dtype=np.float32)
        particles = self._near(particles)
        if not len(particles):
            return total
        blur = 0.75 * self.pixel_nm  # more than from a pixel's middle to its corner: none falls between pixels
        a, b = np.hypot(particles.a_nm, blur), np.hypot(particles.b_nm, blur)
        c = particles.c_nm * (particles.a_nm * particles.b_nm) / (a * b)
        drawn = Ellipsoids(particles.x_nm, particles.y_nm, a, b, c, particles.direction_rad)
        half_px = np.ceil(np.maximum(a, b) / self.pixel_nm).astype(np.int64) + 1
        for size in (4, 6, 9, 13, 18, _BATCH_PX):
            chosen = half_px <= size
            if chosen.any():
                self._draw_batch(total, drawn.where(chosen), size)
            drawn, half_px = drawn.where(~chosen), half_px[~chosen]
        for n in range(len(drawn)):
            self._draw_one(total, drawn, n)
        return total

    def _near(self, particles: Ellipsoids) -> Ellipsoids:
        """Those that may touch the canvas."""
        reach = np.maximum(particles.a_nm, particles.b_nm) + 2 * self.pixel_nm
        (left, right), (low, high) = self.x_range_nm, self.y_range_nm
        x, y = particles.x_nm, particles.y_nm
        return particles.where((x > left - reach) & (x < right + reach) & (y > low - reach) & (y < high + reach))

    def _draw_batch(self, total: Floats, particles: Ellipsoids, half_px: int) -> None:
        """Draw N particles in patches (N, K, K), K = 2 half + 1, and sum them by pixel."""
        height, width = self.shape
        across, down = (self.x0_nm - particles.x_nm) / self.pixel_nm, (self.y0_nm - particles.y_nm) / self.pixel_nm
        column, row = np.rint(across).astype(np.int64), np.rint(down).astype(np.int64)
        near = (column >= -half_px) & (column < width + half_px) & (row >= -half_px) & (row < height + half_px)
        particles, across, down, column, row = particles.where(near), across[near], down[near], column[near], row[near]
        offsets = np.arange(-half_px, half_px + 1)
        columns, rows = column[:, None] + offsets, row[:, None] + offsets
        patches = _ellipsoid(
            ((across[:, None] - columns) * self.pixel_nm).astype(np.float32)[:, None, :],
            ((down[:, None] - rows) * self.pixel_nm).astype(np.float32)[:, :, None],
            *(
                values.astype(np.float32)[:, None, None]
                for values in (particles.a_nm, particles.b_nm, particles.c_nm, particles.direction_rad)
            ),
        )
        volume_nm3 = 4 / 3 * np.pi * particles.a_nm * particles.b_nm * particles.c_nm
        patches *= (volume_nm3 / (self.pixel_nm**2 * patches.sum(axis=(1, 2)))).astype(np.float32)[:, None, None]
        # Patches that reach over the border are summed on a canvas as much larger, and cut off with it.
        wider, taller = width + 4 * half_px, height + 4 * half_px
        flat = (rows + 2 * half_px)[:, :, None] * wider + (columns + 2 * half_px)[:, None, :]
        summed = np.bincount(flat.ravel(), weights=patches.ravel(), minlength=taller * wider).reshape(taller, wider)
        total += summed[2 * half_px : 2 * half_px + height, 2 * half_px : 2 * half_px + width].astype(np.float32)

    def _draw_one(self, total: Floats, particles: Ellipsoids, n: int) -> None:
        reach_nm = float(max(particles.a_nm[n], particles.b_nm[n]))
        view = self.window(float(particles.x_nm[n]), float(particles.y_nm[n]), reach_nm)
        if view is not None:
            total[view.rows, view.columns] += _ellipsoid(
                view.dx_nm,
                view.dy_nm,
                particles.a_nm[n],
                particles.b_nm[n],
                particles.c_nm[n],
                particles.direction_rad[n],
            )


def _span(centre_px: float, half_px: float, length: int) -> slice | None:
    start, stop = max(0, int(np.ceil(centre_px - half_px))), min(length, int(np.floor(centre_px + half_px)) + 1)
    return slice(start, stop) if start < stop else None


def _ellipsoid(
    dx_nm: np.ndarray,
    dy_nm: np.ndarray,
    a_nm: np.ndarray,
    b_nm: np.ndarray,
    c_nm: np.ndarray,
    direction_rad: np.ndarray,
) -> Floats:
    """Thickness along the beam of ellipsoids, 2c·sqrt(1 − u²/a² − v²/b²) inside, 0 outside. Arguments broadcast."""
    cos, sin = np.cos(direction_rad), np.sin(direction_rad)
    u = (dx_nm * (cos / a_nm)) + (dy_nm * (sin / a_nm))
    v = (dy_nm * (cos / b_nm)) - (dx_nm * (sin / b_nm))
    u *= u
    v *= v
    u += v
    np.subtract(1, u, out=u)
    np.maximum(u, 0, out=u)
    np.sqrt(u, out=u)
    u *= 2 * c_nm
    return np.asarray(u, dtype=np.float32)
