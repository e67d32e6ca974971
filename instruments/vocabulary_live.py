"""The table of the vocabulary, continued: names in the vendors' scripting interfaces, of an instrument that is there.

From the vendors' documentation, and public code that speaks to them. A unit "clicks" or "knob" has no length.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from instruments.vocabulary_terms import Term

if TYPE_CHECKING:
    from collections.abc import Mapping

LIVE_TERMS: Mapping[str, tuple[Term, ...]] = MappingProxyType({
    # Thermo Fisher AutoScript, live: SI.
    "autoscript": (
        Term("voltage_kV", "optics.acceleration_voltage.value", "V"),
        Term("current_pA", "detectors.screen.measure_current", "A"),
        Term("camera_length_mm", "optics.camera_length.value", "m"),
        Term("field_of_view_nm", "optics.scan_field_of_view", "m"),
        Term("defocus_nm", "optics.defocus", "m"),
        Term("scan_rotation_deg", "optics.scan_rotation", "rad"),
        Term("x_nm", "specimen.stage.position.x", "m"),
        Term("y_nm", "specimen.stage.position.y", "m"),
        Term("z_nm", "specimen.stage.position.z", "m"),
        Term("alpha_deg", "specimen.stage.position.a", "rad"),
        Term("beta_deg", "specimen.stage.position.b", "rad"),
        Term("beam_shift_x_nm", "optics.deflectors.beam_shift.x", "m"),
        Term("beam_shift_y_nm", "optics.deflectors.beam_shift.y", "m"),
        Term("image_shift_x_nm", "optics.deflectors.image_shift.x", "m"),
        Term("image_shift_y_nm", "optics.deflectors.image_shift.y", "m"),
        Term("holder", "specimen.stage.get_holder_type", "text"),
        Term("mode", "optics.optical_mode", "text"),
        Term("model", "service.system.name", "text"),
    ),
    # Thermo Fisher standard scripting (COM), live. temscript hands the tension on in kV; the COM property is in V.
    "fei-com": (
        Term("voltage_kV", "Gun.HTValue", "V"),
        Term("current_pA", "Camera.ScreenCurrent", "A"),
        Term("convergence_mrad", "Illumination.ConvergenceAngle", "rad"),
        Term("camera_length_mm", "Projection.CameraLength", "m"),
        Term("magnification", "Projection.Magnification", "1"),
        Term("field_of_view_nm", "Illumination.StemFullScanFieldOfView.X", "m"),
        Term("defocus_nm", "Projection.Defocus", "m"),
        Term("defocus_nm", "Projection.Focus", "knob"),
        Term("stig_a_nm", "Projection.ObjectiveStigmator.X", "knob"),
        Term("stig_b_nm", "Projection.ObjectiveStigmator.Y", "knob"),
        Term("scan_rotation_deg", "Illumination.StemRotation", "rad"),
        Term("dwell_us", "Acquisition.StemAcqParams.DwellTime", "s"),
        Term("x_nm", "Stage.Position.X", "m"),
        Term("y_nm", "Stage.Position.Y", "m"),
        Term("z_nm", "Stage.Position.Z", "m"),
        Term("alpha_deg", "Stage.Position.A", "rad"),
        Term("beta_deg", "Stage.Position.B", "rad"),
        Term("beam_shift_x_nm", "Illumination.Shift.X", "m"),
        Term("beam_shift_y_nm", "Illumination.Shift.Y", "m"),
        Term("image_shift_x_nm", "Projection.ImageShift.X", "m"),
        Term("image_shift_y_nm", "Projection.ImageShift.Y", "m"),
    ),
    # Gatan DigitalMicrograph's Python module, live.
    "digitalmicrograph-live": (
        Term("voltage_kV", "GetHighTension", "V"),
        Term("camera_length_mm", "GetCameraLength", "mm"),
        Term("magnification", "GetMagnification", "1"),
        Term("defocus_nm", "GetFocus", "knob"),
        Term("stig_a_nm", "GetObjectiveStigmation.x", "knob"),
        Term("stig_b_nm", "GetObjectiveStigmation.y", "knob"),
        Term("x_nm", "GetStageX", "um"),
        Term("y_nm", "GetStageY", "um"),
        Term("z_nm", "GetStageZ", "um"),
        Term("alpha_deg", "GetStageAlpha", "deg"),
        Term("beta_deg", "GetStageBeta", "deg"),
    ),
    # JEOL's PyJEM (TEM3), live. Lenses and deflectors count clicks.
    "pyjem": (
        Term("voltage_kV", "HT3.GetHtValue", "V"),
        Term("defocus_nm", "EOS3.GetObjFocus", "clicks"),
        Term("stig_a_nm", "Def3.GetOLs.x", "clicks"),
        Term("stig_b_nm", "Def3.GetOLs.y", "clicks"),
        Term("dwell_us", "detector.exposuretime_value", "us"),
        Term("x_nm", "Stage3.GetPos.0", "nm"),
        Term("y_nm", "Stage3.GetPos.1", "nm"),
        Term("z_nm", "Stage3.GetPos.2", "nm"),
        Term("alpha_deg", "Stage3.GetPos.3", "deg"),
        Term("beta_deg", "Stage3.GetPos.4", "deg"),
        Term("beam_shift_x_nm", "Def3.GetCLA1.x", "clicks"),
        Term("image_shift_x_nm", "Def3.GetIS1.x", "clicks"),
    ),
    # SerialEM's Python module, live.
    "serialem": (
        Term("voltage_kV", "ReportHighVoltage", "kV"),
        Term("current_pA", "ReportScreenCurrent", "nA"),
        Term("magnification", "ReportMag", "1"),
        Term("defocus_nm", "ReportDefocus", "um"),
        Term("stig_a_nm", "ReportObjectiveStigmator.x", "knob"),
        Term("stig_b_nm", "ReportObjectiveStigmator.y", "knob"),
        Term("x_nm", "ReportStageXYZ.x", "um"),
        Term("y_nm", "ReportStageXYZ.y", "um"),
        Term("z_nm", "ReportStageXYZ.z", "um"),
        Term("alpha_deg", "ReportTiltAngle", "deg"),
        Term("beta_deg", "ReportStageBAxis", "deg"),
    ),
})  # fmt: skip
