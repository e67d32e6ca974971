"""A specimen by recipe under the beam: what every detector round it gets."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from instruments.aberrations import rotated
from instruments.simulated.brightfield import Phases
from instruments.simulated.coherent import Illumination
from instruments.simulated.darkroom import Darkroom, Developer
from instruments.simulated.detector_settings import USUAL_MRAD
from instruments.simulated.detectors import alive, read_out
from instruments.simulated.diffraction import patterns_at, places_of
from instruments.simulated.evolving import Evolving, with_evolving
from instruments.simulated.features import particles
from instruments.simulated.gridbars import passed
from instruments.simulated.harm import Harm, harm, harmed
from instruments.simulated.hashing import Floats, uniform
from instruments.simulated.poisson import count_
from instruments.simulated.rare import Feature
from instruments.simulated.relief import Relief
from instruments.simulated.renderer import FINE_PX_NM, Camera, Views
from instruments.simulated.scan import distorted, moved_px
from instruments.simulated.scattering import WIDEST_MRAD
from instruments.simulated.spectra import Spectrometers
from instruments.simulated.thin import bright_field, wide_field
from instruments.simulated.wide import smeared, way_px
from instruments.types import Axis

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from instruments.simulated.conditions import Conditions
    from instruments.simulated.insitu import Event
    from instruments.simulated.numbers import Ratio
    from instruments.simulated.recipe import Recipe
    from instruments.simulated.sample_settings import SampleSettings
    from instruments.simulated.scenes import Counts, Sight
    from instruments.simulated.settings import SimulatedSettings

Ring: TypeAlias = tuple[float, float]

_BESIDE: Ratio = 1.25
"""Rings out to so many times the cone's angle are bright field: there waves interfere where atoms show."""
_DETECTORS = (*USUAL_MRAD, "camera", "EELS", "EDS")
_STREAMS = {name: number for number, name in enumerate(_DETECTORS)} | {"CTEM": 0}
"""Of noise, one for each of those that are in at a time."""
_TYPES = {"EELS": np.uint32}
"""A zero loss holds nearly all electrons of a pixel."""
_LEAN = 412
"""Stream of randomness."""


def recipe_of(settings: SampleSettings) -> Recipe:
    """The recipe, with a population for what evolves where something does."""
    return settings.recipe if settings.evolves is None else with_evolving(settings.recipe, settings.evolves)


class Sample:
    """Implements ``scenes.Scene`` for a specimen by recipe."""

    def __init__(
        self,
        settings: SimulatedSettings,
        seed: int,
        conditions: Conditions | None = None,
        darkroom: Developer | None = None,
    ) -> None:
        """``conditions``: of the holder, for what evolves. ``darkroom``: where frames are rendered; None: its own."""
        made = settings.specimen_by_recipe
        if made is None:
            raise ValueError("these settings describe a specimen without recipe: open it with open_scene")
        self._settings, self._seed, self._recipe = settings, seed, recipe_of(made)
        self._evolving: Evolving | None = None
        if made.evolves is not None and conditions is not None:
            self._evolving = Evolving(made.evolves, conditions, seed)
        self._contamination_nm = made.contamination_nm
        self._darkroom: Developer = Darkroom(self._recipe) if darkroom is None else darkroom
        self._spectrometers = Spectrometers(settings, self._recipe)
        self._rings = {
            name: detector.angles_mrad or USUAL_MRAD[name]
            for name, detector in settings.detectors().items()
            if name in USUAL_MRAD
        }
        self.height_nm = Relief(made.slope_nm_per_um, made.waviness_nm, seed).height_nm

    def features(self, x_range_nm: Ring, y_range_nm: Ring) -> tuple[Feature, ...]:
        """Rare particles whose centres lie in a rectangle of places."""
        return tuple(
            Feature(
                id=each.id,
                kind=each.kind,
                x_nm=each.x_nm,
                y_nm=each.y_nm,
                size_nm=each.length_nm,
                rare=True,
                direction_rad=each.turn_rad,
            )
            for each in particles(self._recipe, self._seed, x_range_nm, y_range_nm, rare_only=True)
        )

    def zone_tilts_rad(self, stage_rad: tuple[float, float] = (0.0, 0.0)) -> tuple[float, float]:
        """How far the film's zone axis leans from the beam, along columns and along rows, with the stage so tilted."""
        film = self._recipe.film
        lean = 0.0 if film is None else math.radians(film.mistilt_deg)
        along, across = lean * (2 * uniform(self._seed, _LEAN, np.arange(2)).astype(np.float64) - 1)
        return float(along) + stage_rad[0], float(across) + stage_rad[1]

    def events(self, x_range_nm: Ring, y_range_nm: Ring, t0_s: float, t1_s: float) -> tuple[Event, ...]:
        """What has happened to particles that evolve, in t0 < t ≤ t1: the truth, for scoring."""
        return () if self._evolving is None else self._evolving.events(x_range_nm, y_range_nm, t0_s, t1_s)

    def look(self, sight: Sight, names: tuple[str, ...]) -> Mapping[str, Floats]:
        """Expected shares by detector: (H, W), of the camera (H, W, Ky, Kx), of spectrometers (H, W, E)."""
        if (wide := self._settings.ctem) is not None:
            spreads = wide.focal_spread_nm, wide.illumination_mrad
            beam = Illumination(self._settings.column.voltage_kV, *spreads, wide.objective_mrad)
            image = self.wide_field(sight, beam)
            return {"CTEM": image * alive(self._seed, image.shape, wide.dead_fraction)}
        views, camera = self._views(sight), self._camera(sight)
        done = self._harm(sight, views, camera)
        thick_nm = self._darkroom.thickness_nm(camera) * sight.thicker
        fine = camera.pixel_nm <= FINE_PX_NM
        edge_mrad = _BESIDE * camera.convergence_mrad
        waves = [name for name in names if fine and name in self._rings and self._rings[name][1] <= edge_mrad]
        plain = [name for name in names if name in self._rings and name not in waves]
        shares = self._incoherent(plain, views, camera, done)
        for name in waves:
            ring = self._rings[name]
            image = bright_field(self._phases, views, camera, ring, thickness_nm=thick_nm, done=done)[0].numpy()
            shares[name] = self._behind_bars(image, views, camera)
        if fine:
            streak = self._streak_px(sight, thick_nm)
            shares = {name: smeared(image, streak) for name, image in shares.items()}
        shares |= self._spectrometers.look(names, views, camera, done)
        moved = moved_px(self._settings.scan, sight.exposure, self._seed, sight.number)
        for name, image in shares.items():
            shares[name] = distorted(image, moved)
        if "camera" in names and self._settings.camera is not None:
            seen = patterns_at(
                self._phases,
                views,
                camera,
                self._settings.camera,
                thickness_nm=thick_nm,
                tilts_rad=self.zone_tilts_rad(sight.tilts_rad),
                done=done,
                moved_px=moved,
            )
            seen *= alive(self._seed, seen.shape[-2:], self._settings.camera.dead_fraction)
            shares["camera"] = self._behind_bars(seen, views, camera)
        return shares

    def wide_field(self, sight: Sight, beam: Illumination) -> Floats:
        """(H, W) a wide parallel beam's image (CTEM), 1 where there is no specimen, with the sight's aberrations."""
        along_x, along_y = (moved * sight.exposure.shape[0] for moved in sight.row_drift_nm)
        way = way_px((along_x, along_y), sight.exposure)
        image = smeared(self._wide_field(replace(sight, row_drift_nm=(0.0, 0.0)), beam), way)
        camera = self._camera(sight)
        if camera.pixel_nm > FINE_PX_NM:
            return image
        return smeared(image, self._streak_px(sight, self._darkroom.thickness_nm(camera) * sight.thicker))

    def _streak_px(self, sight: Sight, path_nm: float) -> tuple[float, float]:
        """(rows, columns) along which a column of atoms lies that leans from the beam; 0 where none show.

        Exact for what is scattered incoherently by a crystal of one thickness; of waves it is an approximation.
        """
        recipe = self._recipe
        bodies = [population.material for population in recipe.populations.values()]
        bodies += [] if recipe.film is None else [recipe.film.material]
        if all(recipe.materials[name].crystal is None for name in bodies):
            return 0.0, 0.0
        lean = self.zone_tilts_rad(sight.tilts_rad)
        return way_px((path_nm * math.tan(lean[0]), path_nm * math.tan(lean[1])), sight.exposure)

    def _wide_field(self, sight: Sight, beam: Illumination) -> Floats:
        views, camera = self._views(sight), self._camera(sight)
        done = self._harm(sight, views, camera)
        if camera.pixel_nm <= FINE_PX_NM:
            thick_nm = self._darkroom.thickness_nm(camera) * sight.thicker
            return self._behind_bars(
                wide_field(self._phases, views, camera, beam, thick_nm, done)[0].numpy(), views, camera
            )
        stopped = (beam.objective_mrad or WIDEST_MRAD / 2, WIDEST_MRAD)
        parallel = replace(views, coefficients_nm=torch.zeros_like(views.coefficients_nm))  # no cone that could blur
        image = (
            self._darkroom.shares(replace(camera, annuli_mrad=(stopped,), parallel=True), parallel)[0, 0].cpu().numpy()
        )
        return 1 - (image if done is None else harmed(image, done, stopped, camera.voltage_kV, camera.pixel_nm))

    def read(self, shares: Mapping[str, Floats], sent_electrons: float, number: int) -> dict[str, Counts]:
        """Counted electrons as each detector tells them."""
        detectors, counts = self._settings.detectors(), {}
        for name, share in shares.items():
            mean = torch.from_numpy(np.ascontiguousarray(share) * np.float32(sent_electrons))
            noise = (self._seed * 0x632BE59BD9B4E019 + number * len(_DETECTORS) + _STREAMS[name]) & (2**63 - 1)
            counted = count_(mean.view(1, share.shape[0], -1), torch.tensor([noise])).numpy().reshape(share.shape)
            if name in detectors:
                rng = np.random.Generator(np.random.SFC64([noise & 0xFFFFFFFF, noise >> 32]))
                counts[name] = read_out(counted, detectors[name], rng)
            else:
                kept = _TYPES.get(name, np.uint16)
                counts[name] = np.minimum(counted, np.iinfo(kept).max).astype(kept)  # full, not begun anew
        return counts

    def inner_axes(self, name: str) -> tuple[Axis, ...]:
        """Of the camera: ky, kx in mrad; of spectrometers: energy in eV."""
        camera = self._settings.camera
        if name != "camera" or camera is None:
            return self._spectrometers.inner_axes(name)
        step = 2 * camera.reach_mrad / camera.pixels
        first = -(camera.pixels // 2) * step
        return Axis("ky", step, "mrad", first), Axis("kx", step, "mrad", first)

    def _incoherent(self, names: list[str], views: Views, camera: Camera, done: Harm | None) -> dict[str, Floats]:
        """Where waves do not interfere, or no longer show it: what is scattered, or what that leaves over."""
        if not names:
            return {}
        alpha = camera.convergence_mrad
        rings = [self._rings[name] for name in names]
        outside = tuple((ring[1], WIDEST_MRAD) if ring[0] < alpha else ring for ring in rings)
        images = self._darkroom.shares(camera.seeing(outside), views)[0].cpu().numpy()
        found = {}
        for name, ring, image in zip(names, outside, images, strict=True):
            scattered = image if done is None else harmed(image, done, ring, camera.voltage_kV, camera.pixel_nm)
            if self._rings[name][0] < alpha:
                inner, outer = (min(angle, alpha) for angle in self._rings[name])
                scattered = np.float32((outer**2 - inner**2) / alpha**2) * (1 - scattered)
            found[name] = scattered if done is None else self._behind_bars(scattered, views, camera)
        return found

    @cached_property
    def _phases(self) -> Phases:
        return Phases(self._recipe, self._settings.column.voltage_kV)

    def _behind_bars(self, image: Floats, views: Views, camera: Camera) -> Floats:
        if self._recipe.bars is None:
            return image
        turn = 0.0 if views.rotations_rad is None else float(views.rotations_rad[0])
        place, seed = views.places_nm[0], int(views.seeds[0])
        through = passed(self._recipe.bars, place, turn, camera.pixel_nm, camera.shape, seed)
        return np.asarray(image * through.reshape(*through.shape, *(1,) * (image.ndim - 2)))

    def _camera(self, sight: Sight) -> Camera:
        return Camera(
            shape=sight.exposure.shape,
            pixel_nm=sight.exposure.pixel_size_nm,
            voltage_kV=self._settings.column.voltage_kV,
            convergence_mrad=sight.probe.convergence_mrad,
            source_size_nm=sight.probe.source_size_nm,
        )

    def _views(self, sight: Sight) -> Views:
        turn_rad = math.radians(sight.exposure.rotation_deg)
        along = rotated(sight.probe.coefficients_nm, turn_rad)
        return Views(
            seeds=np.array([self._seed]),
            places_nm=np.array([sight.centre_nm]),
            coefficients_nm=torch.from_numpy(along[None]).float(),
            electrons=torch.ones(1),
            frames=np.array([sight.number]),
            rotations_rad=np.array([turn_rad]),
            row_drifts_nm=np.array([sight.row_drift_nm]),
            thicker=np.array([sight.thicker]),
            stretch=1 / np.cos(np.array([sight.tilts_rad])),
            guests=self._guests(sight),
        )

    def _guests(self, sight: Sight) -> npt.NDArray[np.object_] | None:
        """(1,) of the particles that evolve, as they are now round the frame."""
        if self._evolving is None:
            return None
        reach_nm = math.hypot(sight.exposure.field_of_view_nm, sight.exposure.height_nm) * sight.thicker
        guests = np.empty(1, dtype=object)
        x_range, y_range = ((at_nm - reach_nm, at_nm + reach_nm) for at_nm in sight.centre_nm)
        guests[0] = self._evolving.guests(x_range, y_range, sight.time_s)
        return guests

    def _harm(self, sight: Sight, views: Views, camera: Camera) -> Harm | None:
        """What earlier exposures have done under this frame, and what it does itself."""
        before = sight.fluence.under(*places_of(views, camera).T.reshape(2, *camera.shape))
        beside = self._settings.column.voltage_kV, self._contamination_nm
        return harm(self._recipe, before, sight.own_e_per_A2, camera.shape, beside)

    def doubts(self, sight: Sight, names: tuple[str, ...]) -> tuple[str, ...]:
        """As ``Scene.doubts``: crystals beyond the range in which they agree with multislice."""
        rings = {name: self._rings[name] for name in names if name in self._rings}
        wide = self._settings.ctem is not None
        return self._darkroom.doubts(self._camera(sight), sight.probe.defocus_nm, {"CTEM": None} if wide else rings)
