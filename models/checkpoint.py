"""Weights of policies as safetensors, with what they are for beside them as JSON; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from configs.errors import ConfigError
from models.policy import MapPolicy, PolicySpec
from models.set_policy import SetPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Policy: TypeAlias = MapPolicy | SetPolicy

FORMAT, VERSION = "adaptem policy", "1"
SHIPPED = Path(__file__).parent / "weights" / "policies"
"""Policies that come with the package: NAME.safetensors, NAME.json."""


def make_policy(spec: PolicySpec) -> Policy:
    """With first weights, drawn by torch's generator."""
    return MapPolicy(spec) if spec.kind == "map" else SetPolicy(spec)


def save_policy(policy: Policy, path: Path, about: Mapping[str, Any]) -> None:
    """Weights with their spec inside, and beside them, as JSON, the card: how they were made and what they are for."""
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = asdict(policy.spec)
    save_file(policy.state_dict(), path, {"format": FORMAT, "version": VERSION, "spec": json.dumps(spec)})
    card = {"format": FORMAT, "version": VERSION, "hash": weights_hash(policy.state_dict()), "spec": spec, **about}
    path.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n")


def load_policy(path: Path) -> Policy:
    """A policy, ready to decide. Raises ConfigError for a file that is not there, or not such weights."""
    if not path.is_file():
        raise ConfigError(f"policy {path} is not there; `adaptem policies list` shows the shipped ones")
    try:
        with safe_open(path, "pt") as held:
            about = held.metadata() or {}
            state = {name: held.get_tensor(name) for name in held.keys()}
    except (SafetensorError, OSError) as error:
        raise ConfigError(
            f"policy {path} is not safetensors ({error}); other formats may run code and are not read"
        ) from error
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        found = f"{about.get('format')!r} of version {about.get('version')!r}"
        raise ConfigError(f"policy {path} is {found}; this reads {FORMAT!r} of version {VERSION!r}")
    try:
        policy = make_policy(_spec(json.loads(about["spec"])))
        policy.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"policy {path} does not fit what it says of itself ({error}): train or import it anew"
        ) from error
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise ConfigError(f"policy {path} holds weights that are not finite: train or import it anew")
    return policy.eval()


def _spec(told: Mapping[str, Any]) -> PolicySpec:
    names = {name: tuple(str(each) for each in told[name]) for name in ("columns", "scalars", "looks", "skills")}
    return PolicySpec(kind=str(told["kind"]), width=int(told["width"]), **names)


def find_policy(name: str) -> Path:
    """The file of a path, or of a shipped policy's name. Raises ConfigError."""
    if Path(name).suffix == ".safetensors" or "/" in name:
        return Path(name)
    shipped = sorted(path.stem for path in SHIPPED.glob("*.safetensors"))
    if name not in shipped:
        raise ConfigError(
            f"policy {name!r} is none that comes with adaptem ({', '.join(shipped) or 'none does'}); "
            "for one of your own give its file, FILE.safetensors"
        )
    return SHIPPED / f"{name}.safetensors"


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Sixteen hex digits that change with any weight."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
