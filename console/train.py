"""Commands that train a policy and hold it against others: train, evaluate."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from functools import partial
from pathlib import Path  # noqa: TC003 (typer reads it)
from typing import TYPE_CHECKING, Annotated, Any

import typer

from console.exits import plain_errors, say, show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

Sets = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=c. May be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="JSON instead of text.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (train, evaluate):
        app.command()(command)


def train(
    config: Annotated[Path, typer.Argument(help="A config (YAML), such as configs/train_survey.yaml.")],
    sets: Sets = None,
    nights: Annotated[
        list[Path] | None, typer.Option("--from", help="A recorded survey to imitate first. May be repeated.")
    ] = None,
    minari: Annotated[
        Path | None,
        typer.Option(help="Write the surveys of --from here as a Minari dataset; train nothing."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in its folder.")] = False,
    json: Json = False,
) -> None:
    """Train a policy on simulated surveys, on this computer or a Ray cluster."""
    with plain_errors():
        from configs.errors import ConfigError
        from configs.load import load

        training, settings_of = learning("training.train"), learning("training.settings")
        settings = load(config, settings_of.TrainSettings, sets or ())
        if minari is not None:
            _export(settings, nights or [], minari)
            return
        if nights:
            try:  # checked like what a config says
                settings = settings_of.TrainSettings.model_validate({**settings.model_dump(), "nights": tuple(nights)})
            except ValueError as error:
                raise ConfigError(f"--from: {error}") from error
        with _going_on_later():
            told = partial(show, line=True) if json else _told
            found = training.train(settings, resume=resume, told=told)
        if json:
            show({"policy": str(found.policy), "hash": found.hash, "score": found.score}, line=True)
        else:
            say(f"{found.policy} ({found.hash}) finds {found.score:.1%} of what is rare where it was selected")


@contextmanager
def _going_on_later() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does, so that MLflow is told; all three say how to go on.

    A SIGHUP that was ignored from the start stays so: ``nohup`` means it.
    """

    def handler(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(f"by {signal.Signals(number).name}")

    ending = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {n: signal.signal(n, handler) for n in ending if signal.getsignal(n) is not signal.SIG_IGN}
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{error or 'by Ctrl-C'}; the same command with --resume goes on") from None
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def _export(settings: Any, nights: list[Path], folder: Path) -> None:
    from configs.errors import ConfigError

    if not nights:
        raise ConfigError("--minari writes what recorded surveys teach: name them by --from")
    spec = learning("training.kit").spec_of(settings)
    episodes, steps = learning("training.offline").write_minari(nights, spec.looks, spec.skills, folder)
    say(f"{folder}: {episodes} episodes, {steps} steps; read it with minari.MinariDataset('{folder / 'data'}')")


def evaluate(
    config: Annotated[Path, typer.Argument(help="The config of a training run.")],
    policy: Annotated[str | None, typer.Option(help="FILE.safetensors or a shipped name; by itself the run's.")] = None,
    specimens: Annotated[int, typer.Option(min=1, help="Held-out specimens of each kind.")] = 4,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
    sets: Sets = None,
    json: Json = False,
) -> None:
    """Let a policy, the planner and the raster survey the same held-out specimens, rendered in full."""
    with plain_errors():
        from configs.load import load

        settings = load(config, learning("training.settings").TrainSettings, sets or ())
        weights = policy or str(settings.out / settings.name / "policy.safetensors")
        rows = learning("training.judge").judged(settings, weights, specimens, workers=workers)
        if json:
            show(rows)
            return
        for row in rows:
            say(_compared(row))


def _compared(row: dict[str, Any]) -> str:
    """Of one agent on one kind of specimen."""
    n, empty = row["n"], row["empty"]
    if not n:
        return f"{row['specimens']}: no rare feature in any of {empty}, so nothing that {row['agent']} could find"
    beside = f", {empty} more without any rare feature" if empty else ""
    found = f"{row['specimens']} ({n}{beside}): {row['agent']} finds {_share(row, 'found_dose', '', '')}"
    found += f", found and flagged {_share(row, 'named', 'named_', '')}"
    more, later = _share(row, "learned_more", "more_", "+"), _share(row, "learned_more_time", "time_", "+")
    return found if row["agent"] == "learned" else f"{found}; the policy {more} more, in equal time {later}"


def _share(row: dict[str, Any], name: str, of: str, sign: str) -> str:
    if row["n"] == 1:
        return f"{row[name]:{sign}.3f} (no interval from one)"
    return f"{row[name]:{sign}.3f} ({row[of + 'low']:{sign}.3f} to {row[of + 'high']:{sign}.3f})"


def _told(row: dict[str, float]) -> None:
    say("  ".join(f"{name} {value:.4g}" for name, value in row.items()))


def learning(module: str) -> Any:
    """A module that needs torch. Raises ConfigError where that is not installed."""
    from importlib import import_module

    from configs.errors import ConfigError

    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        extra = "minari" if error.name == "minari" else "train"
        raise ConfigError(f"this needs {error.name}, which is not installed: pip install 'adaptem[{extra}]'") from error
