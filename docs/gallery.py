"""Make docs/gallery.md and its pictures: every specimen of the library, from afar, as it shows best, and by its atoms.

python docs/gallery.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from instruments.simulated.library import SPECIMENS
from instruments.simulated.picture import save, take

DOCS = Path(__file__).resolve().parent
PIXELS = 256
ATOMS_NM = 5.0


def main() -> None:
    """Write them."""
    lines = [
        "# Simulated specimens",
        "",
        "Made by `python docs/gallery.py`. One row a specimen: 30 times wider than it shows best, as it shows best,",
        "and by its atoms; high-angle annular dark field, 200 kV, 21.4 mrad, in focus, seed 1. Populations in",
        "*italics* are rare: what a survey is to find. `adaptem simulate --specimen NAME` shows any of them at any",
        "magnification.",
        "",
    ]
    for name, recipe in SPECIMENS.items():
        row = Image.new("L", (3 * 512 + 16, 512), 255)
        for n, width_nm in enumerate((30 * recipe.look_nm, recipe.look_nm, min(ATOMS_NM, recipe.look_nm / 2))):
            one = DOCS / "images" / "gallery" / "one.png"
            save(take(recipe, field_of_view_nm=width_nm, pixels=PIXELS), one)
            row.paste(Image.open(one).convert("L"), (n * (512 + 8), 0))
            one.unlink()
        path = DOCS / "images" / "gallery" / f"{name}.jpg"
        row.resize((row.width * 2 // 3, row.height * 2 // 3)).save(path, quality=80)
        made_of = [f"*{kind}*" if population.rare else kind for kind, population in recipe.populations.items()]
        lines += [
            f"## {name}",
            "",
            f"{recipe.title}. After: {recipe.source}." + (f" Particles: {', '.join(made_of)}." if made_of else ""),
            "",
            f"![{name}](images/gallery/{name}.jpg)",
            "",
        ]
    (DOCS / "gallery.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
