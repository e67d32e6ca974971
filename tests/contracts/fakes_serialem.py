"""SerialEM's Python module, as its table of commands and public scripts show it, over a simulated column.

Its quirks: µm and degrees; one connection for the whole module; an error outside of StartTry ends the script, and the
next call finds it gone; reports are numbers or, in newer versions, tuples; a transfer without a time limit hangs for
ever; out of range is an error, but the focus goes as far as it goes; nothing tells the state of the blanker.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fakes_column import CASSETTE, REACH, Column, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

PIXEL_NM = 0.5
"""Of the unbinned camera."""


class SEMerror(Exception):
    """A command failed."""


class SEMmoduleError(Exception):
    """The module, or its protocol, failed."""


class SEMexited(Exception):
    """The script has ended."""


class SerialEM:
    """Its commands are the module's functions."""

    def __init__(self, column: Column) -> None:
        self._column = column
        self.tuples = True
        self.listens = True
        self.filling = 0
        self.jams = False
        """The next transfer fails half way."""
        self.idle = 0
        """A slot whose cartridge is not moved, and nobody says so."""
        self.unknown: set[int] = set()
        self.current_pA = 50.0
        self._connected = False
        self._tries = 0
        self._image_s: float | None = None
        self._size = (1, 1, 128, 128)
        self._exposure_s = 1.0
        self._numbers: tuple[int, ...] = ()
        self._buffers: dict[str, npt.NDArray[np.generic]] = {}
        self._taken_nm = 0.0

    def ConnectToSEM(self, port: int, host: str) -> None:
        if not self.listens:
            raise SEMmoduleError(f"nobody listens at {host}:{port}")
        self._connected = True

    def SetBufferImageTimeout(self, limit_s: float) -> None:
        self._image_s = limit_s

    def StartTry(self, quiet: int = 0) -> None:
        self._alive()
        self._tries += 1
        assert self._tries == 1, "one try at a time"

    def EndTry(self) -> None:
        self._alive()
        self._tries -= 1

    def Exit(self, quiet: int = 0) -> None:
        self._connected = False
        raise SEMexited("the script has ended")

    def ReportStageXYZ(self) -> tuple[float, ...]:
        self._alive()
        stage = self._column.stage()
        return tuple(getattr(stage, name) / 1e3 for name in ("x_nm", "y_nm", "z_nm"))

    def ReportTiltAngle(self) -> Any:
        return self._report(self._column.stage().alpha_deg)

    def ReportStageBAxis(self) -> Any:
        return self._report(self._column.stage().beta_deg)

    def ReportDefocus(self) -> Any:
        return self._report(self._column.defocus_nm / 1e3)

    def ReportHighVoltage(self) -> Any:
        return self._report(200.0)

    def ReportFEGEmissionState(self) -> Any:
        return self._report(int(self._column.quirks.emits))

    def ReportColumnOrGunValve(self) -> Any:
        return self._report(int(self._column.valve_open))

    def SetColumnOrGunValve(self, to: int) -> None:
        self._alive()
        self._column.valve_open = bool(to)

    def AreDewarsFilling(self) -> Any:
        return self._report(self.filling)

    def IsPVPRunning(self) -> Any:
        return self._report(0)

    def ReportStageBusy(self) -> Any:
        return self._report(int(self._column.moving()))

    def MoveStageTo(self, x_um: float, y_um: float, z_um: float | None = None) -> None:
        places = {"x_nm": x_um * 1e3, "y_nm": y_um * 1e3}
        self._go(places if z_um is None else places | {"z_nm": z_um * 1e3})

    def TiltTo(self, alpha_deg: float) -> None:
        self._go({"alpha_deg": alpha_deg})

    def SetStageBAxis(self, beta_deg: float) -> None:
        self._go({"beta_deg": beta_deg})

    def SetDefocus(self, defocus_um: float) -> None:
        self._alive()
        self._column.focus(defocus_um * 1e3)

    def SetBeamBlank(self, to: int) -> None:
        self._alive()
        self._column.blank(bool(to))

    def ReportCurrentPixelSize(self, name: str) -> Any:
        return self._report(PIXEL_NM * self._size[1])

    def ReportBinning(self, name: str) -> Any:
        return self._report(self._size[1])

    def SetCenteredSize(self, name: str, binning: int, columns: int, rows: int) -> None:
        self._alive()
        self._size = (0, binning, columns, rows)

    def SetExposure(self, name: str, exposure_s: float) -> None:
        self._alive()
        self._exposure_s = exposure_s

    def SetSTEMDetectors(self, name: str, *numbers: int) -> None:
        self._alive()
        self._numbers = numbers

    def RestoreCameraSet(self, name: str) -> None:
        self._alive()

    def Record(self) -> None:
        self._alive()
        _, binning, columns, rows = self._size
        self._taken_nm = PIXEL_NM * binning
        dwell_us = self._exposure_s * 1e6 / (rows * columns)
        there = tuple(("HAADF", "BF")[number] for number in self._numbers) or ("HAADF",)
        frame = self._column.scan(self._taken_nm * columns, (rows, columns), dwell_us, there)
        self._buffers = {chr(ord("A") + n): frame[name] for n, name in enumerate(there)}

    def ImageProperties(self, buffer: str) -> tuple[float, ...]:
        self._alive()
        rows, columns = self._buffers[buffer].shape
        return (columns, rows, self._size[1], self._exposure_s, self._taken_nm, 0)

    def bufferImage(self, buffer: str) -> npt.NDArray[np.generic]:
        self._alive()
        if self._column.quirks.lost:
            assert self._image_s is not None, "the transfer hangs for ever"
            self._column.clock.wait(self._image_s)
            self._column.quirks.lost -= 1
            raise SEMmoduleError("time-out receiving an image")
        return self._buffers[buffer]

    def ReportSlotStatus(self, slot: int) -> Any:
        """Of an autoloader: a slot reads empty while its cartridge lies on the stage."""
        self._alive()
        status = 1 if slot <= len(CASSETTE) and CASSETTE[slot - 1] != self._column.loader.loaded() else 0
        status = -1 if slot in self.unknown else status
        return (status, 0.0, "!NONAME!") if self.tuples else status

    def LoadCartridge(self, slot: int) -> None:
        self._alive()
        if self.jams:
            self._column.loader.unload()
            self._fail("the cartridge could not be loaded")
        if slot != self.idle:
            self._column.loader.load(CASSETTE[slot - 1])

    def UnloadCartridge(self) -> None:
        self._alive()
        self._column.loader.unload()

    def _go(self, places: dict[str, float]) -> None:
        self._alive()
        if any(abs(at) > REACH[name] for name, at in places.items()):
            self._fail("the stage cannot go there")
        if self._column.moving():
            self._fail("the stage is busy")
        self._column.go(places)
        while len(self._column._says) > 2:  # it returns while the stage still settles
            self._column.moving()

    def _fail(self, message: str) -> None:
        self._connected = self._connected and self._tries > 0
        raise SEMerror(message)

    def _alive(self) -> None:
        if not (self._connected and self.listens):
            self._connected, self._tries = False, 0
            raise SEMexited("the script has ended")

    def _report(self, value: float | None) -> Any:
        self._alive()
        return (value, 0.0) if self.tuples else value


@contextmanager
def serialem(column: Column | None = None) -> Iterator[tuple[Column, SerialEM]]:
    """SerialEM is installed, and drives this column."""
    column = column or Column()
    sem = SerialEM(column)
    commands = {name: getattr(sem, name) for name in dir(sem) if name[0].isupper() or name == "bufferImage"}
    errors = {"SEMerror": SEMerror, "SEMmoduleError": SEMmoduleError, "SEMexited": SEMexited}
    with installed({"serialem": commands | errors}):
        yield column, sem
