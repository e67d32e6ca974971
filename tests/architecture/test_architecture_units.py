"""A float says its unit in its name, or that it has none: in everything public of instruments/ and envs/."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from architecture_sources import modules, name, tree

if TYPE_CHECKING:
    from collections.abc import Iterator

UNIT = r"(nm2?|A2|um2?|deg|mrad|rad|us|s|min|h|pA|uA|kV|eV|K|V|Pa|px|e|MB|electrons?|counts|Hz|per_[a-z]+)"
SUFFIX = re.compile(rf"(^|_){UNIT}(_per_{UNIT}(_per_{UNIT})*)?$|^electrons(_left|_used)?$")
DIMENSIONLESS = {"Ratio"}

BESIDE = {
    "instruments/types.py:Reading.value": "the unit stands in Reading.unit",
    "instruments/types.py:Axis.scale": "the unit stands in Axis.unit",
    "instruments/types.py:Axis.offset": "the unit stands in Axis.unit",
    "instruments/powers.py:HasHolder.set_condition.value": "the unit stands in the condition's name (temperature_K)",
    "instruments/recordings.py:FileAxis.scale": "the unit stands in FileAxis.unit",
    "instruments/recordings.py:FileAxis.offset": "the unit stands in FileAxis.unit",
    "instruments/guard_checks.py:off.tolerance": "the unit is that of the axes named beside it",
    "instruments/guard_holder.py:GuardedHolder.set_condition.value": "the unit stands in the condition's name",
    "instruments/limits.py:Limits.z_tilt": "corners (z_nm, alpha_deg), two units",
    "instruments/limits.py:turns.corners": "plane geometry, any unit",
    "instruments/limits.py:inside.corners": "plane geometry, any unit",
    "instruments/limits.py:inside.x": "plane geometry, any unit",
    "instruments/limits.py:inside.y": "plane geometry, any unit",
    "instruments/overlap.py:deepest.stack": "rectangles and weights, any unit",
    "instruments/simulated/requests.py:within.value": "the unit stands in the name beside it",
    "instruments/simulated/requests.py:within.allowed": "the unit stands in the name beside it",
    "envs/descriptors.py:Descriptor.floor": "the unit stands in Descriptor.unit",
    "envs/explanations.py:Departure.value": "the unit stands in Departure.unit",
    "envs/explanations.py:Departure.usual": "the unit stands in Departure.unit",
    "envs/explanations.py:Departure.usual_low": "the unit stands in Departure.unit",
    "envs/explanations.py:Departure.usual_high": "the unit stands in Departure.unit",
    "envs/explanations.py:Explanation.nearest": "one value a descriptor, the unit stands in its name",
    "envs/step.py:Score.descriptors": "one value a descriptor, the unit stands in its name",
}
"""Floats that carry their unit elsewhere, with the reason."""


def test_every_public_float_says_its_unit() -> None:
    found = [
        f"{name(path)}:{line}: {where}"
        for path in modules("instruments", "envs")
        for line, where in unnamed(tree(path))
        if f"{name(path)}:{where}" not in BESIDE
    ]
    assert found == [], "add the unit to the name, or annotate Ratio:\n" + "\n".join(found)


def test_every_exception_is_still_needed() -> None:
    used = {f"{name(path)}:{where}" for path in modules("instruments", "envs") for _, where in unnamed(tree(path))}
    assert set(BESIDE) - used == set()


def test_the_check_sees_fields_and_parameters() -> None:
    source = """
class Look:
    dwell: float
    dwell_us: float
    gain: Ratio
    range_nm: tuple[float, float]
    span: tuple[float, float] | None = None
    _hidden: float
    def go(self, speed: float, rate_e_per_A2_per_s: float): ...
def free(x: Annotated[float, 1], *, y_nm: float = 0, s: float = 0): ...
def _private(z: float): ...
"""
    assert [where for _, where in unnamed(ast.parse(source))] == ["Look.dwell", "Look.span", "Look.go.speed", "free.x"]


def unnamed(module: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[int, str]]:
    for node in module.body:
        public = not getattr(node, "name", "").startswith("_") or getattr(node, "name", "") == "__init__"
        if isinstance(node, ast.ClassDef) and public:
            yield from unnamed(node, f"{prefix}{node.name}.")
        elif isinstance(node, ast.AnnAssign) and prefix and isinstance(node.target, ast.Name):
            if _lacks(node.target.id, node.annotation):
                yield node.lineno, f"{prefix}{node.target.id}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and public:
            for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                if argument.annotation and _lacks(argument.arg, argument.annotation):
                    yield argument.lineno, f"{prefix}{node.name}.{argument.arg}"


def _lacks(word: str, annotation: ast.expr) -> bool:
    """Whether a float is annotated and the name has no unit; the floats of a mapping or callable are not ours."""
    if word.startswith("_") or SUFFIX.search(word):
        return False
    named = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return "float" in named and not named & {*DIMENSIONLESS, "Mapping", "dict", "Callable", "NDArray"}
