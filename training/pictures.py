"""What a run looks like: its learning curve, and one survey that the policy made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from envs.actions import LookAt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from training.macro_env import MacroEnv
    from training.rollout import Episode

mpl.use("Agg")


def learning_curve(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Share of the rare features found, against steps of the environment."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for name, label, style in (("score", "while learning", "-"), ("select_score", "on specimens kept for it", "o-")):
        some = [row for row in rows if name in row and "imitation_loss" not in row]
        axes.plot([row["env_steps"] for row in some], [row[name] for row in some], style, label=label)
    axes.set(xlabel="steps of the environment", ylabel="rare features found", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    return path


def rollout_picture(env: MacroEnv, episode: Episode, path: Path) -> Path:
    """The sites in the order in which they were looked at, over what there was to find; ``env`` after its end."""
    looked = np.full(env.specimen.features.shape, np.nan)
    patches, tree = [], env.task.tree
    for number, action in enumerate(episode.actions.tolist()):
        match env.catalogue.decode(action):
            case LookAt(slot, _) if tree.cell[slot] >= 0:
                looked.flat[tree.cell[slot]] = number
            case LookAt(slot, _):
                patches.append(tree[slot])
    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(looked, cmap="viridis")
    if np.isfinite(looked).any():  # else there is no step to tell the colour of
        figure.colorbar(image, label="step")
    rows, columns = np.nonzero(env.specimen.features)
    axes.scatter(columns, rows, s=14, facecolors="none", edgecolors="tab:red", label="rare feature")
    site_nm = float(tree.width_nm.min())
    for patch in patches:
        side = patch.width_nm / site_nm
        left, top = (patch.x_nm - tree.x_nm.min()) / site_nm, (patch.y_nm - tree.y_nm.min()) / site_nm
        box = Rectangle((left - side / 2, top - side / 2), side, side, fill=False, lw=0.4, color="grey")
        axes.add_patch(box)
    axes.set(title=f"{episode.score:.0%} found in {len(episode)} steps", xticks=[], yticks=[])
    axes.legend(loc="upper right", fontsize="small")
    figure.savefig(path, dpi=120)
    return path
