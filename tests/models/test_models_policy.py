from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from configs.errors import ConfigError
from models.checkpoint import SHIPPED, find_policy, load_policy, make_policy, save_policy, weights_hash
from models.policy import PolicySpec

SPEC = {"columns": ("a", "b"), "scalars": ("t",), "looks": ("overview", "detail"), "skills": ("refocus",)}


def policy(kind: str, width: int = 8):
    torch.manual_seed(1)
    made = make_policy(PolicySpec(kind=kind, width=width, **SPEC)).eval()
    for layer in (getattr(made, name, None) for name in ("fine", "coarse", "looks")):
        if layer is not None:
            torch.nn.init.normal_(layer.weight)
    return made


def on_map(cells: torch.Tensor, patch: int = 2):
    """One patch for each ``patch`` × ``patch`` cells, before them."""
    _, _, height, width = cells.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    parent = (rows // patch) * (width // patch) + columns // patch
    pool = np.zeros((parent.max() + 1, height * width), dtype=np.float32)
    pool[parent, np.arange(height * width)] = 1 / patch**2
    cell = torch.from_numpy(np.concatenate([np.full(len(pool), -1), np.arange(height * width)]))
    actions = 2 * len(cell) + 2
    return {
        "cells": cells, "scalars": torch.zeros(len(cells), 1), "cell": cell, "pool": torch.from_numpy(pool),
        "action_mask": torch.ones(len(cells), actions, dtype=torch.bool),
    }  # fmt: skip


def test_a_shifted_map_gives_shifted_logits():
    size, shift, made = 40, 4, policy("map")
    cells = torch.zeros(1, 2, size, size)
    cells[:, :, 16:20, 16:20] = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    patches = (size // 2) ** 2
    with torch.no_grad():
        told, _ = made(on_map(cells))
        moved, _ = made(on_map(torch.roll(cells, (shift, shift), (2, 3))))
    looks, others = told[0, :-2].view(-1, 2), moved[0, :-2].view(-1, 2)
    fine, fine_moved = (each[patches:].view(size, size, 2) for each in (looks, others))
    coarse, coarse_moved = (each[:patches].view(size // 2, size // 2, 2) for each in (looks, others))
    torch.testing.assert_close(torch.roll(fine, (shift, shift), (0, 1))[12:28, 12:28], fine_moved[12:28, 12:28])
    half = shift // 2
    torch.testing.assert_close(torch.roll(coarse, (half, half), (0, 1))[6:14, 6:14], coarse_moved[6:14, 6:14])
    assert fine[12:28, 12:28].std() > 0 and coarse[6:14, 6:14].std() > 0


def test_a_map_of_another_size_is_read_by_the_same_weights():
    made = policy("map")
    for size in (8, 12):
        logits, value = made(on_map(torch.randn(3, 2, size, size)))
        assert logits.shape == (3, 2 * (size**2 + size**2 // 4) + 2) and value.shape == (3,)


def test_targets_in_another_order_give_logits_in_that_order():
    made, generator = policy("set"), torch.Generator().manual_seed(0)
    slots = torch.randn(2, 7, 2, generator=generator)
    parent = torch.tensor([-1, -1, 0, 0, 1, 1, 1])
    order = torch.tensor([3, 0, 6, 2, 1, 5, 4])
    place = torch.argsort(order)
    moved = torch.where(parent[order] < 0, -1, place[parent[order].clamp(min=0)])
    mask = torch.ones(2, 16, dtype=torch.bool)
    with torch.no_grad():
        told, value = made({"slots": slots, "parent": parent, "scalars": torch.zeros(2, 1), "action_mask": mask})
        other, same = made(
            {"slots": slots[:, order], "parent": moved, "scalars": torch.zeros(2, 1), "action_mask": mask}
        )
    torch.testing.assert_close(told[:, :-2].view(2, 7, 2)[:, order], other[:, :-2].view(2, 7, 2))
    torch.testing.assert_close(value, same)


def test_what_is_masked_is_impossible():
    made = policy("map")
    seen = on_map(torch.randn(1, 2, 8, 8))
    seen["action_mask"][0, 3:] = False
    chance = torch.softmax(made(seen)[0], dim=1)
    assert chance[0, 3:].sum() == 0 and chance.sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["map", "set"])
def test_policies_are_kept_and_read_back(tmp_path, kind):
    made = policy(kind)
    save_policy(made, tmp_path / "p.safetensors", {"seed": 3})
    again = load_policy(tmp_path / "p.safetensors")
    assert again.spec == made.spec and weights_hash(again.state_dict()) == weights_hash(made.state_dict())
    assert sum(each.numel() for each in again.parameters()) < 100_000


def test_files_that_are_no_policies_are_refused(tmp_path):
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickled.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors", {"format": "something else"})
    made = policy("map")
    save_policy(made, tmp_path / "cut.safetensors", {})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-40])
    made.told.weight.data[0, 0] = torch.nan
    save_policy(made, tmp_path / "nan.safetensors", {})
    for name, words in {
        "pickled": "not safetensors", "cut": "not safetensors", "other": "something else", "nan": "not finite",
        "absent": "not there",
    }.items():  # fmt: skip
        with pytest.raises(ConfigError, match=words):
            load_policy(tmp_path / f"{name}.safetensors")
    with pytest.raises(ConfigError, match="none that comes with adaptem"):
        find_policy("wonder")


def test_every_policy_that_comes_with_adaptem_loads_and_tells_how_it_was_made():
    for path in SHIPPED.glob("*.safetensors"):
        card = json.loads(path.with_suffix(".json").read_text())
        assert card["hash"] == weights_hash(load_policy(path).state_dict())
        assert len(card["commit"]) == 40 and card["command"].startswith("adaptem train") and card["limits"]
        assert find_policy(path.stem) == path
    assert all(path.suffix in (".safetensors", ".json", ".npz") for path in SHIPPED.glob("*"))
