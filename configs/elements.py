"""The chemical elements by their symbols, and what a formula is made of."""

from __future__ import annotations

import difflib
import re

SYMBOLS: tuple[str, ...] = tuple(
    (
        "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr"
        " Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir"
        " Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl"
        " Mc Lv Ts Og"
    ).split()
)
"""By atomic number, from 1."""
_KNOWN = frozenset(SYMBOLS)


def element(symbol: str) -> str:
    """The symbol as it is written. Raises ValueError for what is no element, with the nearest that are.

    >>> element("sr")
    'Sr'
    """
    written = symbol.strip().capitalize()
    if written not in _KNOWN:
        near = ", ".join(difflib.get_close_matches(written, SYMBOLS, 3, 0.5))
        raise ValueError(f"{symbol!r} is no chemical element{f'; near it are {near}' if near else ''}")
    return written


def elements_of(formula: str) -> tuple[str, ...]:
    """The elements of a formula, each once, in its order. Raises ValueError where it is none.

    >>> elements_of("SrTiO3"), elements_of("(La,Sr)MnO3"), elements_of("Pt@CeO2")
    (('Sr', 'Ti', 'O'), ('La', 'Sr', 'Mn', 'O'), ('Pt', 'Ce', 'O'))
    """
    parts = re.findall(r"[A-Z][a-z]?|[a-z]+", formula)
    if not parts:
        raise ValueError(f"{formula!r} is no chemical formula; write it as SrTiO3")
    return tuple(dict.fromkeys(element(part) if part in _KNOWN else _refused(part, formula) for part in parts))


def _refused(part: str, formula: str) -> str:
    raise ValueError(f"{part!r} in {formula!r} is no chemical element; write a formula as SrTiO3")
