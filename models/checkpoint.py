"""Weights of policies as safetensors, with what they are for beside them as JSON; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from configs.errors import ConfigError
from models.policy import MapPolicy, PolicySpec
from models.set_policy import SetPolicy
from models.weights_file import fill, read_file, write_weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Policy: TypeAlias = MapPolicy | SetPolicy

KIND = "adaptem policy", "1"
"""Format and version."""
SHIPPED = Path(__file__).parent / "weights" / "policies"
"""Policies that come with the package: NAME.safetensors, NAME.json."""


def make_policy(spec: PolicySpec) -> Policy:
    """With first weights, drawn by torch's generator."""
    return MapPolicy(spec) if spec.kind == "map" else SetPolicy(spec)


def save_policy(policy: Policy, path: Path, about: Mapping[str, Any]) -> None:
    """Weights with their spec inside, and beside them, as JSON, the card: how they were made and what they are for."""
    state, spec = policy.state_dict(), asdict(policy.spec)
    card = {"hash": weights_hash(state), "spec": spec, **about}
    write_weights(state, path, KIND, card, {"spec": json.dumps(spec)})


def load_policy(path: Path) -> Policy:
    """A policy, ready to decide. Raises ConfigError for a file that is not there, or not such weights."""
    if not path.is_file():
        raise ConfigError(f"policy {path} is not there; `adaptem policies list` shows the shipped ones")
    again = "train or import it anew"
    about, state = read_file(path, KIND, "policy", again)
    try:
        policy = make_policy(_spec(json.loads(about["spec"])))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"policy {path} does not say what it is for ({error}): {again}") from error
    fill(policy, state, f"weights of policy {path}", again)
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
