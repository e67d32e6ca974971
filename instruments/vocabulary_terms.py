"""The table of the vocabulary: what each vendor calls a quantity, in which unit, and what we call it.

``seen``: read in a real file or from the real library. What is not comes from the vendor's documentation or from public
code that speaks to the instrument, and waits for a file. Where two tags tell one quantity, the first that is told
counts. A unit "clicks" or "knob" has no length: such a tag is known, and needs a calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Term:
    """One name of a vendor."""

    ours: str
    tag: str
    """Flat, levels parted by /."""
    unit: str
    """The vendor's; "text", "unix" (seconds since 1970), "filetime" (100 ns since 1601), or a date's form.
    "@TAG": the file tells it in that tag."""
    zero_is_unknown: bool = False
    """The vendor writes 0 where nobody told it."""
    seen: bool = False


def _seen(ours: str, tag: str, unit: str, *, zero_is_unknown: bool = False) -> Term:
    return Term(ours, tag, unit, zero_is_unknown, seen=True)


FILE_TERMS: Mapping[str, tuple[Term, ...]] = MappingProxyType({
    # Thermo Fisher Velox files: everything in SI, written as text. Talos (Velox 1.6) and Spectra (3.21).
    "velox": (
        _seen("voltage_kV", "Optics/AccelerationVoltage", "V"),
        _seen("current_pA", "Optics/LastMeasuredScreenCurrent", "A", zero_is_unknown=True),
        _seen("current_pA", "Optics/ScreenCurrent", "A", zero_is_unknown=True),
        _seen("convergence_mrad", "Optics/BeamConvergence", "rad", zero_is_unknown=True),
        _seen("detector_inner_mrad", "Detector/CollectionAngleRange/begin", "rad", zero_is_unknown=True),
        _seen("detector_outer_mrad", "Detector/CollectionAngleRange/end", "rad", zero_is_unknown=True),
        _seen("camera_length_mm", "Optics/CameraLength", "m"),
        Term("magnification", "Optics/NominalMagnification", "1"),
        Term("magnification", "Optics/StemMagnification", "1"),
        _seen("magnification", "CustomProperties/StemMagnification/value", "1", zero_is_unknown=True),
        _seen("field_of_view_nm", "Optics/FullScanFieldOfView/x", "m"),
        _seen("pixel_size_nm", "BinaryResult/PixelSize/width", "@BinaryResult/PixelUnitX"),
        _seen("pixel_height_nm", "BinaryResult/PixelSize/height", "@BinaryResult/PixelUnitY"),
        _seen("defocus_nm", "Optics/Defocus", "m"),
        _seen("scan_rotation_deg", "Scan/ScanRotation", "rad"),
        _seen("dwell_us", "Scan/DwellTime", "s"),
        _seen("exposure_s", "Detector/ExposureTime", "s"),
        _seen("x_nm", "Stage/Position/x", "m"),
        _seen("y_nm", "Stage/Position/y", "m"),
        _seen("z_nm", "Stage/Position/z", "m"),
        _seen("alpha_deg", "Stage/AlphaTilt", "rad"),
        _seen("beta_deg", "Stage/BetaTilt", "rad"),
        Term("dose_rate_e_per_A2_per_s", "Optics/DoseRate", "1/(m^2 s)", zero_is_unknown=True),
        _seen("holder", "Stage/HolderType", "text"),
        _seen("mode", "Optics/IlluminationMode", "text"),
        _seen("detector", "BinaryResult/Detector", "text"),
        _seen("manufacturer", "Instrument/Manufacturer", "text"),
        _seen("model", "Instrument/InstrumentModel", "text"),
        _seen("model", "Instrument/InstrumentClass", "text"),
        _seen("start_time", "Acquisition/AcquisitionStartDatetime/DateTime", "unix"),
    ),
    # Thermo Fisher's extended header of MRC (EPU, Tomography): names as mrcfile has them, tilts in degrees, else SI.
    "fei-mrc": (
        Term("voltage_kV", "HT", "V"),
        Term("magnification", "Magnification", "1"),
        Term("pixel_size_nm", "Pixel size X", "m"),
        Term("pixel_height_nm", "Pixel size Y", "m"),
        Term("defocus_nm", "Defocus", "m"),
        Term("defocus_nm", "STEM Defocus", "m"),
        Term("camera_length_mm", "Camera length", "m"),
        Term("exposure_s", "Integration time", "s"),
        Term("x_nm", "X-Stage", "m"),
        Term("y_nm", "Y-Stage", "m"),
        Term("z_nm", "Z-Stage", "m"),
        Term("alpha_deg", "Alpha tilt", "deg"),
        Term("beta_deg", "Beta tilt", "deg"),
        Term("fluence_e_per_A2", "Dose", "1/m^2"),
        Term("detector", "Camera name", "text"),
        Term("model", "Microscope type", "text"),
    ),
    # Thermo Fisher's TIFF (FEI_HELIOS and FEI_SFEG tags): SI.
    "fei-tiff": (
        Term("voltage_kV", "Beam/HV", "V"),
        Term("current_pA", "EBeam/BeamCurrent", "A"),
        Term("field_of_view_nm", "EBeam/HFW", "m"),
        Term("pixel_size_nm", "Scan/PixelWidth", "m"),
        Term("pixel_size_nm", "EScan/PixelWidth", "m"),
        Term("pixel_height_nm", "Scan/PixelHeight", "m"),
        Term("pixel_height_nm", "EScan/PixelHeight", "m"),
        Term("dwell_us", "Scan/Dwelltime", "s"),
        Term("dwell_us", "Scan/Dwell", "s"),
        Term("x_nm", "Stage/StageX", "m"),
        Term("y_nm", "Stage/StageY", "m"),
        Term("z_nm", "Stage/StageZ", "m"),
        Term("detector", "Detectors/Name", "text"),
        Term("model", "System/SystemType", "text"),
    ),
    # Gatan DigitalMicrograph files: units in the names, or a unit text beside. 0 stands for "nobody told".
    "digitalmicrograph": (
        _seen("voltage_kV", "Microscope Info/Voltage", "V", zero_is_unknown=True),
        _seen("emission_current_pA", "Microscope Info/Emission Current (µA)", "uA", zero_is_unknown=True),
        _seen("current_pA", "Microscope Info/Probe Current (nA)", "nA", zero_is_unknown=True),
        _seen("probe_size_nm", "Microscope Info/Probe Size (nm)", "nm", zero_is_unknown=True),
        _seen("convergence_mrad", "EELS/Experimental Conditions/Convergence semi-angle (mrad)", "mrad",
              zero_is_unknown=True),
        Term("convergence_mrad", "EELS/Convergence semi-angle (mrad)", "mrad", zero_is_unknown=True),
        _seen("collection_mrad", "EELS/Experimental Conditions/Collection semi-angle (mrad)", "mrad",
              zero_is_unknown=True),
        Term("collection_mrad", "EELS/Collection semi-angle (mrad)", "mrad", zero_is_unknown=True),
        _seen("camera_length_mm", "Microscope Info/STEM Camera Length", "mm", zero_is_unknown=True),
        Term("magnification", "Microscope Info/Actual Magnification", "1", zero_is_unknown=True),
        _seen("magnification", "Microscope Info/Indicated Magnification", "1", zero_is_unknown=True),
        Term("field_of_view_nm", "Microscope Info/Field of View (µm)", "um", zero_is_unknown=True),
        _seen("pixel_size_nm", "Calibrations/Dimension/0/Scale", "@Calibrations/Dimension/0/Units"),
        _seen("spherical_nm", "Microscope Info/Cs(mm)", "mm", zero_is_unknown=True),
        _seen("scan_rotation_deg", "DigiScan/Rotation", "deg"),
        _seen("dwell_us", "SI/Acquisition/Pixel time (s)", "s"),
        _seen("dwell_us", "DigiScan/Sample Time", "us"),
        _seen("exposure_s", "EELS/Acquisition/Integration time (s)", "s"),
        _seen("exposure_s", "EELS/Acquisition/Exposure (s)", "s"),
        _seen("exposure_s", "Acquisition/Parameters/High Level/Exposure (s)", "s"),
        Term("x_nm", "Microscope Info/Stage Position/Stage X", "um"),
        Term("y_nm", "Microscope Info/Stage Position/Stage Y", "um"),
        Term("z_nm", "Microscope Info/Stage Position/Stage Z", "um"),
        Term("alpha_deg", "Microscope Info/Stage Position/Stage Alpha", "deg"),
        Term("beta_deg", "Microscope Info/Stage Position/Stage Beta", "deg"),
        _seen("mode", "Microscope Info/Illumination Mode", "text"),
        _seen("detector", "Acquisition/Device/Name", "text"),
        _seen("model", "Microscope Info/Microscope", "text"),
        Term("model", "Session Info/Microscope", "text"),
        _seen("model", "Microscope Info/Name", "text"),
        _seen("start_time", "DataBar/Acquisition Time (OS)", "filetime"),
    ),
    # JEOL's TIFF: keys of its text block.
    "jeol": (
        Term("voltage_kV", "CM_ACCEL_VOLTAGE", "kV"),
        Term("voltage_kV", "CM_ACCEL_VOLT", "kV"),
        Term("magnification", "CM_MAG", "1"),
        Term("model", "CM_INSTRUMENT", "text"),
    ),
    # Nion Swift's metadata; the controls of a real column (ImageScanned) in SI, the scan with its units in the names.
    "nion": (
        _seen("voltage_kV", "instrument/high_tension", "V"),
        Term("voltage_kV", "instrument/ImageScanned/EHT", "V"),
        Term("convergence_mrad", "instrument/ImageScanned/probe_ha", "rad"),
        Term("detector_inner_mrad", "instrument/ImageScanned/HAADF_Inner_ha", "rad"),
        Term("detector_outer_mrad", "instrument/ImageScanned/HAADF_Outer_ha", "rad"),
        Term("probe_size_nm", "instrument/ImageScanned/GeometricProbeSize", "m"),
        Term("emission_current_pA", "instrument/ImageScanned/SuperFEG.^EmissionCurrent", "A"),
        _seen("defocus_nm", "instrument/defocus", "m"),
        Term("defocus_nm", "instrument/ImageScanned/C10", "m"),
        Term("stig_a_nm", "instrument/ImageScanned/C12.a", "m"),
        Term("stig_b_nm", "instrument/ImageScanned/C12.b", "m"),
        Term("spherical_nm", "instrument/ImageScanned/C30", "m"),
        _seen("field_of_view_nm", "scan/fov_nm", "nm"),
        _seen("scan_rotation_deg", "scan/rotation_deg", "deg"),
        _seen("dwell_us", "hardware_source/pixel_time_us", "us"),
        Term("flyback_us", "hardware_source/flyback_time_us", "us"),
        _seen("exposure_s", "hardware_source/exposure", "s"),
        Term("x_nm", "instrument/ImageScanned/StageOutX", "m"),
        Term("y_nm", "instrument/ImageScanned/StageOutY", "m"),
        Term("z_nm", "instrument/ImageScanned/StageOutZ", "m"),
        Term("alpha_deg", "instrument/ImageScanned/StageOutA", "rad"),
        Term("beta_deg", "instrument/ImageScanned/StageOutB", "rad"),
        _seen("detector", "hardware_source/channel_name", "text"),
    ),
    # SerialEM: the text file beside an MRC. Its help: micrometres, degrees, e/Å²; underfocus negative.
    "serialem-mdoc": (
        _seen("voltage_kV", "Voltage", "kV"),
        _seen("magnification", "Magnification", "1"),
        _seen("pixel_size_nm", "PixelSpacing", "Å", zero_is_unknown=True),
        _seen("defocus_nm", "Defocus", "um"),
        _seen("scan_rotation_deg", "RotationAngle", "deg"),
        _seen("exposure_s", "ExposureTime", "s"),
        _seen("x_nm", "StagePosition/0", "um"),
        _seen("y_nm", "StagePosition/1", "um"),
        _seen("z_nm", "StageZ", "um"),
        _seen("alpha_deg", "TiltAngle", "deg"),
        _seen("image_shift_x_nm", "ImageShift/0", "um"),
        _seen("image_shift_y_nm", "ImageShift/1", "um"),
        _seen("fluence_e_per_A2", "ExposureDose", "e/A^2", zero_is_unknown=True),
        _seen("detector", "ChannelName", "text"),
        _seen("start_time", "DateTime", "%d-%b-%y %H:%M:%S"),
    ),
    # SerialEM's short numbers in the extended header of an MRC, as tags.py unpacks them.
    "serialem-header": (
        _seen("magnification", "magnification", "1", zero_is_unknown=True),
        _seen("pixel_size_nm", "voxel size", "Å"),
        _seen("pixel_height_nm", "voxel height", "Å"),
        _seen("x_nm", "stage x", "um"),
        _seen("y_nm", "stage y", "um"),
        _seen("alpha_deg", "tilt angle", "deg"),
        Term("fluence_e_per_A2", "exposure dose", "e/A^2", zero_is_unknown=True),
    ),
    # Direct Electron's server: units in the names of its properties.
    "direct-electron": (
        _seen("voltage_kV", "Instrument Accelerating Voltage (V)", "V"),
        _seen("convergence_mrad", "Instrument Convergence Semi-Angle (mrad)", "mrad"),
        _seen("camera_length_mm", "Instrument Project Camera Length (centimeters)", "cm"),
        _seen("magnification", "Instrument Project Magnification", "1"),
        _seen("pixel_size_nm", "Specimen Pixel Size X (nanometers)", "nm", zero_is_unknown=True),
        _seen("defocus_nm", "Instrument Defocus (micrometers)", "um"),
        _seen("exposure_s", "Exposure Time (seconds)", "s"),
        _seen("x_nm", "Instrument Stage Position X (micrometers)", "um"),
        _seen("y_nm", "Instrument Stage Position Y (micrometers)", "um"),
        _seen("z_nm", "Instrument Stage Position Z (micrometers)", "um"),
        _seen("alpha_deg", "Instrument Stage Tilt Alpha (degrees)", "deg"),
        _seen("beta_deg", "Instrument Stage Tilt Beta (degrees)", "deg"),
        _seen("beam_shift_x_nm", "Instrument Beam Shift X (micrometers)", "um"),
        _seen("beam_shift_y_nm", "Instrument Beam Shift Y (micrometers)", "um"),
        _seen("image_shift_x_nm", "Instrument Image Shift X (micrometers)", "um"),
        _seen("image_shift_y_nm", "Instrument Image Shift Y (micrometers)", "um"),
        _seen("model", "Instrument Type", "text"),
    ),
    # Micro-Manager: tags of a frame, and the same in its TIFF files.
    "micromanager": (
        _seen("pixel_size_nm", "PixelSizeUm", "um", zero_is_unknown=True),
        Term("exposure_s", "Exposure-ms", "ms"),
        _seen("exposure_s", "Camera-Exposure", "ms"),
        Term("x_nm", "XPositionUm", "um"),
        Term("y_nm", "YPositionUm", "um"),
        Term("z_nm", "ZPositionUm", "um"),
        _seen("detector", "Camera", "text"),
    ),
    # OME-TIFF: the file names the unit. ImageJ's TIFF does the same.
    "ome": (
        _seen("pixel_size_nm", "PhysicalSizeX", "@PhysicalSizeXUnit"),
        _seen("pixel_height_nm", "PhysicalSizeY", "@PhysicalSizeYUnit"),
    ),
    "imagej": (
        _seen("pixel_size_nm", "pixel width", "@unit"),
        _seen("pixel_height_nm", "pixel height", "@unit"),
    ),
    # HyperSpy's metadata, as files of many vendors reach it: keV, mm, mrad, nA, degrees.
    "hyperspy": (
        _seen("voltage_kV", "Acquisition_instrument/TEM/beam_energy", "kV"),
        Term("current_pA", "Acquisition_instrument/TEM/beam_current", "nA"),
        Term("convergence_mrad", "Acquisition_instrument/TEM/convergence_angle", "mrad"),
        Term("collection_mrad", "Acquisition_instrument/TEM/Detector/EELS/collection_angle", "mrad"),
        Term("camera_length_mm", "Acquisition_instrument/TEM/camera_length", "mm"),
        Term("magnification", "Acquisition_instrument/TEM/magnification", "1"),
        Term("exposure_s", "Acquisition_instrument/TEM/Detector/EELS/exposure", "s"),
        Term("dwell_us", "Acquisition_instrument/TEM/Detector/EELS/dwell_time", "s"),
        Term("alpha_deg", "Acquisition_instrument/TEM/Stage/tilt_alpha", "deg"),
        Term("beta_deg", "Acquisition_instrument/TEM/Stage/tilt_beta", "deg"),
        Term("mode", "Acquisition_instrument/TEM/acquisition_mode", "text"),
        Term("model", "Acquisition_instrument/TEM/microscope", "text"),
    ),
    # An MRC without an extended header: its cell.
    "mrc": (
        _seen("pixel_size_nm", "voxel size", "Å"),
        _seen("pixel_height_nm", "voxel height", "Å"),
    ),
})  # fmt: skip
