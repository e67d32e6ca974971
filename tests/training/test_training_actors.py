"""Ray: two nodes on this computer, a killed actor, and the same rows as in one process."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
import torch
from training_samples import readings, run_settings

from models.checkpoint import make_policy
from training.kit import kit_of
from training.samplers import InProcess
from training.train import train

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'adaptem[train]'")
cluster_utils = pytest.importorskip("ray.cluster_utils")

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own, of its libraries and of sockets


@pytest.fixture(scope="module")
def cluster():
    """A head and a second node, one processor each."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.add_node(num_cpus=1)
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return kit_of(run_settings(tmp_path_factory.mktemp("actors")), readings())


def rows(episodes) -> list[list[float]]:
    return [[*episode.actions.tolist(), *episode.rewards.tolist(), episode.last_value] for episode in episodes]


def test_actors_on_two_nodes_play_what_one_process_plays(cluster, kit):
    from training.actors import Actors

    torch.manual_seed(0)
    weights = make_policy(kit[1]).state_dict()
    alone = rows(InProcess(kit[0]).play(weights, range(12), guided=0.5))
    actors = Actors(kit[0], 2)
    assert rows(actors.play(weights, range(12), guided=0.5)) == alone
    nodes = {each["NodeID"] for each in ray.nodes() if each["Alive"]}
    assert len(nodes) == 2

    pids = ray.get([actor.process.remote() for actor in actors.actors])
    assert len(set(pids)) == 2
    os.kill(pids[0], signal.SIGKILL)
    assert rows(actors.play(weights, range(12), guided=0.5)) == alone, "a killed actor costs no row"
    assert ray.get(actors.actors[0].process.remote()) != pids[0]
    actors.close()


def test_a_run_with_actors_ends_with_the_same_weights(cluster, tmp_path):
    alone = train(run_settings(tmp_path, "alone"))
    spread = train(run_settings(tmp_path, "spread", workers=2))
    assert spread.hash == alone.hash and np.isfinite(spread.score)
