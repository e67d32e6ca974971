"""From settings to a world of recordings that lie over each other: files opened, places found, units settled."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from configs.load import ConfigError
from instruments.channels import ImageChannel, Lie, SlowChannel
from instruments.images import image_of, is_vendors, main_of, read_image
from instruments.physics import wavelength_nm
from instruments.plane import Plane
from instruments.recordings_apart import Reader
from instruments.types import Axis, Optics
from instruments.vocabulary import converted

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from instruments.recordings import FileAxis, Recording
    from instruments.replay_settings import ChannelSettings, ReplaySettings

_RECT = "SI/Acquisition/Survey Image/Spectrum Image Rect/"
_UNLIKE = 0.05
"""By how much a recording's shape may differ from the place it is said to have."""


class Files:
    """Vendors' files that are open, each in a process of its own."""

    def __init__(self) -> None:
        self._readers: dict[Path, tuple[Reader, tuple[Recording, ...]]] = {}

    def recordings(self, path: Path) -> tuple[Recording, ...]:
        """What a file holds; it stays open. Raises ConfigError."""
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file; give the path of one")
        if path not in self._readers:
            reader = Reader(path)
            try:
                self._readers[path] = reader, reader.open()
            except ConfigError:
                reader.close()
                raise
        return self._readers[path][1]

    def close(self) -> None:
        """Safe twice."""
        for reader, _ in self._readers.values():
            reader.close()


@dataclass
class World:
    """A recorded image and what lies over it."""

    plane: Plane
    pixel_nm: float
    files: Files
    optics: Optics
    """As the image's file tells."""
    images: dict[str, ImageChannel] = field(default_factory=dict)
    slow: dict[str, SlowChannel] = field(default_factory=dict)

    def close(self) -> None:
        """Let go of the files. Safe twice."""
        self.files.close()


def open_world(settings: ReplaySettings) -> World:
    """Raises ConfigError: a file cannot be read, a size is not known, or a recording does not fit its place."""
    files = Files()
    try:
        return _open(settings, files)
    except BaseException:
        files.close()
        raise


def _open(settings: ReplaySettings, files: Files) -> World:
    own = files.recordings(settings.image) if is_vendors(settings.image) else ()
    main = main_of(own, settings.image) if own else None
    recorded = (
        read_image(settings.image, settings.plane) if main is None else image_of(main, settings.image, settings.plane)
    )
    pixel_nm = settings.pixel_size_nm or recorded.pixel_size_nm
    if pixel_nm is None:
        raise ConfigError(f"{settings.image}: the file does not tell its pixel size; set instrument.pixel_size_nm")
    world = World(Plane(recorded.data), pixel_nm, files, _optics(main))
    _fill(world, settings, own, main)
    return world


def recorded_area(world: World, names: Iterable[str]) -> tuple[float, float, float, float]:
    """Where all of these were recorded: centre in stage coordinates, width and height, in nm. Raises ConfigError."""
    high, wide = world.plane.shape
    top, left, bottom, right = 0.0, 0.0, float(high), float(wide)
    lies = {name: each.lie for name, each in (world.images | world.slow).items()}
    for lie in (lies[name] for name in names if name in lies):
        top, left = max(top, lie.top_px), max(left, lie.left_px)
        bottom = min(bottom, lie.top_px + lie.step_px[0] * lie.shape[0])
        right = min(right, lie.left_px + lie.step_px[1] * lie.shape[1])
    if not (top < bottom and left < right):
        raise ConfigError(f"{', '.join(names)} were recorded in places that do not overlap: name fewer")
    nm = world.pixel_nm
    middle = (wide - left - right) / 2 * nm, (high - top - bottom) / 2 * nm
    return *middle, (right - left) * nm, (bottom - top) * nm


def _fill(world: World, settings: ReplaySettings, own: tuple[Recording, ...], main: Recording | None) -> None:
    named: list[Recording] = []
    for name, channel in settings.channels.items():
        if name == "image":
            raise ConfigError("instrument.channels.image: the image itself has this name; choose another")
        path = channel.file or settings.image
        if is_vendors(path):
            named.append(_chosen(path, world.files.recordings(path), name, channel))
            _add(world, settings, name, channel, named[-1], main)
        else:
            image = Plane(read_image(path).data)
            lie = _placed(world, settings, name, channel, image.shape, None, None)
            world.images[name] = ImageChannel(image, lie)
    for recording in own:  # what the config does not name, where it lies pixel by pixel on the image
        slow = recording.kind in ("spectra", "patterns")
        there = slow or (recording.kind == "image" and recording is not main)
        if there and recording.shape[:2] == world.plane.shape and not any(recording is each for each in named):
            _add(world, settings, _free(_name(recording), world), None, recording, main)


def _add(
    world: World,
    settings: ReplaySettings,
    name: str,
    channel: ChannelSettings | None,
    recording: Recording,
    main: Recording | None,
) -> None:
    shape = (recording.shape[0], recording.shape[1])
    lie = _placed(world, settings, name, channel, shape, recording, main)
    if recording.kind == "image":
        world.images[name] = ImageChannel(Plane(recording.block().astype(np.float32)), lie)
        return
    said = recording.understood()
    told_us = None if said is None or (dwell := said.number("dwell_us")) is None else dwell * recording.frames
    x_rays = recording.dtype.kind in "iu" and "EDS" in recording.signal_type
    given = None if channel is None else channel.counting
    if given and recording.dtype.kind not in "iu":
        raise ConfigError(f"instrument.channels.{name}.counting: its numbers are {recording.dtype}, not whole counts")
    world.slow[name] = SlowChannel(
        name=name,
        recording=recording,
        lie=lie,
        inner=_inner(name, channel, recording, world.optics),
        dwell_us=(channel.dwell_us if channel is not None else None) or told_us,
        counting=x_rays if given is None else given,
    )


def _placed(
    world: World,
    settings: ReplaySettings,
    name: str,
    channel: ChannelSettings | None,
    shape: tuple[int, int],
    recording: Recording | None,
    main: Recording | None,
) -> Lie:
    """Where a recording lies: where the config says, else where the file says, else over the whole image."""
    high, wide = world.plane.shape
    top, left, bottom, right = 0.0, 0.0, float(high), float(wide)
    place = None if channel is None else channel.place
    if place is not None:
        middle = wide / 2 - place.x_nm / world.pixel_nm, high / 2 - place.y_nm / world.pixel_nm
        half = place.width_nm / world.pixel_nm / 2, place.height_nm / world.pixel_nm / 2
        left, right = middle[0] - half[0], middle[0] + half[0]
        top, bottom = middle[1] - half[1], middle[1] + half[1]
    elif (told := _rectangle(recording, main)) is not None:
        top, left, bottom, right = told
    step = (bottom - top) / shape[0], (right - left) / shape[1]
    own_nm = None if recording is None or settings.pixel_size_nm is not None else recording.pixel_size_nm
    wrong = abs(step[0] / step[1] - 1) > _UNLIKE or (own_nm and abs(step[0] * world.pixel_nm / own_nm - 1) > _UNLIKE)
    if wrong or min(top, left) < -0.5 or bottom > high + 0.5 or right > wide + 0.5:
        size = f"{shape[0]} × {shape[1]} pixels" + (f" of {own_nm:g} nm" if own_nm else "")
        raise ConfigError(
            f"{settings.image}: {name}, {size}, does not fit a place of {(bottom - top) * world.pixel_nm:g} × "
            f"{(right - left) * world.pixel_nm:g} nm within the image; give instrument.channels.{name}.place"
        )
    return Lie(top, left, step, shape)


def _rectangle(recording: Recording | None, main: Recording | None) -> tuple[float, float, float, float] | None:
    """Top, left, bottom and right in the survey image that a spectrum image was placed in, where both say so."""
    if recording is None or main is None or f"{_RECT}0" not in recording.tags:
        return None
    ids = [
        [tags.get(f"{where}Survey Image/UID/{i}") for i in range(4)]
        for where, tags in (("SI/Acquisition/", recording.tags), ("", main.tags))
    ]
    if ids[0] != ids[1] or None in ids[0]:
        return None
    top, left, bottom, right = (float(str(recording.tags[f"{_RECT}{i}"])) for i in range(4))
    return top, left, bottom, right


def _inner(name: str, channel: ChannelSettings | None, recording: Recording, optics: Optics) -> tuple[Axis, ...]:
    """Energy in eV, or ky and kx in mrad. Raises ConfigError where the file does not tell, nor the config."""
    if recording.kind == "spectra":
        axis = recording.axes[2]
        unit = axis.unit or "eV"
        return (Axis("energy", converted(axis.scale, unit, "eV"), "eV", converted(axis.offset, unit, "eV")),)
    given = None if channel is None else channel.mrad_per_px
    return tuple(
        Axis(own, step, "mrad", offset)
        for own, axis in zip(("ky", "kx"), recording.axes[2:], strict=True)
        for step, offset in [_angle(name, axis, given, optics)]
    )


def _angle(name: str, axis: FileAxis, given: float | None, optics: Optics) -> tuple[float, float]:
    """Step and offset in mrad; a file without an offset has the beam in the pattern's middle."""
    step = given
    if step is None:
        for to, factor in (("mrad", 1.0), ("1/nm", _mrad_per_wavenumber(optics))):
            try:
                step = step or (None if factor is None else converted(axis.scale, axis.unit, to) * factor)
            except ValueError:
                continue
    if step is None:
        raise ConfigError(
            f"instrument.channels.{name}: the file does not tell the angles of its patterns (a step of {axis.scale:g} "
            f"{axis.unit or 'without a unit'}); set mrad_per_px"
        )
    offset = axis.offset / axis.scale if given is None and axis.offset else -(axis.size - 1) / 2
    return step, offset * step


def _mrad_per_wavenumber(optics: Optics) -> float | None:
    """Angle of 1/nm, in mrad: the wavelength in nm times 1000; None where the voltage is not known."""
    return None if optics.voltage_kV is None else 1e3 * wavelength_nm(optics.voltage_kV)


def _optics(main: Recording | None) -> Optics:
    said = None if main is None else main.understood()
    if said is None:
        return Optics()
    return Optics(voltage_kV=said.number("voltage_kV"), convergence_mrad=said.number("convergence_mrad"))


def _chosen(path: Path, found: tuple[Recording, ...], name: str, channel: ChannelSettings) -> Recording:
    usable = [each for kind in ("spectra", "patterns", "image") for each in found if each.kind == kind]
    if channel.signal is not None:
        usable = [each for each in usable if each.name == channel.signal]
    if not usable:
        held = ", ".join(f"{each.name or 'a signal'} ({each.kind})" for each in found)
        raise ConfigError(f"instrument.channels.{name}: {path} holds {held}, and nothing of it suits")
    return usable[0]


def _name(recording: Recording) -> str:
    if recording.kind == "patterns":
        return "camera"
    for word in ("EELS", "EDS"):
        if recording.kind == "spectra" and word in recording.signal_type.upper():
            return word
    return re.sub(r"[^\w.-]+", "-", recording.name).strip("-") or recording.kind


def _free(name: str, world: World) -> str:
    """The name, or with a number where it is taken."""
    taken = {"image", *world.images, *world.slow}
    return name if name not in taken else next(f"{name}-{i}" for i in itertools.count(2) if f"{name}-{i}" not in taken)
