"""The night in a few words, for somebody who has not had a coffee yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from review.words import counted, duration, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADLINES = {
    "complete": "Finished",
    "stopped": "Stopped",
    "interrupted": "Interrupted",
    "incomplete": "Ended early",
    "safety": "Safety stop",
    "hardware": "Ended by the instrument",
}
_ADVICE = {
    "safety": "A person must look at the instrument; `adaptem resume FOLDER --cleared-by NAME` then goes on.",
    "hardware": "See to the instrument; `adaptem resume FOLDER` then goes on.",
    "incomplete": "Mend that; `adaptem resume FOLDER` then goes on.",
}
_GO_ON = "`adaptem resume FOLDER` goes on with the rest."


def verdict(
    plan: Mapping[str, Any],
    done: Mapping[str, Any],
    flags: Sequence[Mapping[str, Any]],
    faults: Sequence[Mapping[str, Any]],
    end: Mapping[str, Any] | None,
    *,
    running: bool,
    only: str | None = None,
) -> dict[str, str]:
    """``state`` (ok, running or bad), ``headline``, ``sentence`` and ``advice``, which may be empty.

    ``only``: name of the one specimen, which then need not be said.
    """
    if end is None:
        state, headline = ("running", "Still running") if running else ("bad", "Cut off before its end")
        advice = "" if running else _GO_ON
    else:
        reason = str(end["data"].get("reason", ""))
        state, headline = "ok" if reason == "complete" else "bad", _HEADLINES.get(reason, "Ended")
        message = str(end["message"]).rstrip(".")
        headline = f"{headline}: {message.removeprefix(f'{only}: ')}"
        advice = "" if reason == "complete" else _ADVICE.get(reason, _GO_ON)
    return {
        "state": state,
        "headline": headline,
        "sentence": _sentence(plan, done, flags, faults, end),
        "advice": advice,
    }


def _sentence(
    plan: Mapping[str, Any],
    done: Mapping[str, Any],
    flags: Sequence[Mapping[str, Any]],
    faults: Sequence[Mapping[str, Any]],
    end: Mapping[str, Any] | None,
) -> str:
    found = counted(len(flags), "region") + " flagged" if end or flags else "Flags come at the end"
    seen = f"{share(done['sites_in_detail'] / plan['sites'])} of {plan['sites']} sites seen in detail"
    parts = [found, f"{seen} in {duration(done['hours'] * 3600)} of microscope time", _faults(faults)]
    if done["lost"]:
        parts.append(f"{counted(done['lost'], 'exposure')} lost after the beam was on")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _faults(faults: Sequence[Mapping[str, Any]]) -> str:
    unanswered = sum(not fault["replies"] for fault in faults)
    if not faults:
        return "no faults"
    told = f"{unanswered} without a reply" if unanswered else "answered" if len(faults) == 1 else "each answered"
    return f"{counted(len(faults), 'fault')}, {told}"
