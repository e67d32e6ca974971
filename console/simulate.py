"""The command that shows a simulated specimen: simulate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.exits import plain_errors, say


def register(app: typer.Typer) -> None:
    """Add this group's command."""
    app.command()(simulate)


def simulate(
    specimen: Annotated[
        str | None, typer.Option(help="Name in the library, a YAML file with a recipe, or FILE.py:NAME.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("simulated.png"),
    field_of_view_nm: Annotated[
        float | None, typer.Option("--fov", help="Width in nm; by itself what shows best.")
    ] = None,
    at: Annotated[
        tuple[float, float] | None, typer.Option(help="Place under the middle, x y in nm; by itself a particle.")
    ] = None,
    detector: Annotated[str, typer.Option(help="haadf, adf, abf, bf, annulus:INNER-OUTER in mrad, or ctem.")] = "haadf",
    pixels: Annotated[int, typer.Option(help="Rows and columns.")] = 512,
    fluence: Annotated[
        float | None, typer.Option(help="Electrons per Å²; by itself what makes a clear picture.")
    ] = None,
    defocus: Annotated[float | None, typer.Option(help="In nm, < 0 is underfocus; by itself the sharpest.")] = None,
    voltage: Annotated[float, typer.Option(help="In kV.")] = 200.0,
    convergence: Annotated[float, typer.Option(help="Half angle of the probe in mrad.")] = 21.4,
    seed: Annotated[int, typer.Option(help="One seed, one specimen.")] = 1,
    show_list: Annotated[bool, typer.Option("--list", help="List the library and stop.")] = False,
) -> None:
    """Show a simulated specimen at any magnification and detector, with a scale bar."""
    with plain_errors():
        from configs.errors import ConfigError

        try:
            from instruments.simulated.library import SPECIMENS, named
            from instruments.simulated.picture import save, take
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the simulator needs {error.name}, which is not installed: pip install 'adaptem[simulate]'"
            ) from error
        from configs.load import load
        from instruments.simulated.recipe import Recipe

        if show_list:
            for name, recipe in SPECIMENS.items():
                say(f"{name:20}  {recipe.title}")
            return
        if specimen is None:
            raise ConfigError("which specimen? name one by --specimen; `adaptem simulate --list` shows the library")
        recipe = load(Path(specimen), Recipe) if Path(specimen).suffix in (".yaml", ".yml") else named(specimen)
        picture = take(
            recipe,
            seed=seed,
            place_nm=at,
            field_of_view_nm=field_of_view_nm,
            pixels=pixels,
            detector=detector,
            fluence_e_per_A2=fluence,
            defocus_nm=defocus,
            voltage_kV=voltage,
            convergence_mrad=convergence,
        )
        save(picture, out)
        say(f"{out}: {picture.caption}, {picture.pixel_nm:.3g} nm a pixel")
        if picture.doubt is not None:
            say(f"beyond the model's range: {picture.doubt}", style="yellow")
