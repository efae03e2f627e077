"""What ppreid ships keeps its own contracts: the call that a contract describes reaches every implementation."""

import inspect
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from ppreid import contracts
from ppreid.clustering.alternative_labels import agglomerative_labels, hdbscan_labels, infomap_labels
from ppreid.clustering.labels import dbscan_labels
from ppreid.evaluation.ranking import evaluate_features
from ppreid.evaluation.rerank import evaluate_reranked
from ppreid.ise.memory import ClusterMemory, update_hard, update_sequential
from ppreid.ise.objective import ise_objective
from ppreid.models.reid_net import GeMPool, average_pool, max_pool
from ppreid.models.resnet import resnet
from ppreid.report.gather import pca_map, tsne_map
from ppreid.training.extract import extract_features


def described_call(method):
    """Names of the positional arguments and of the keywords with which a contract's method is called."""
    parameters = list(inspect.signature(method).parameters.values())[1:]  # without self
    keywords = {parameter.name: None for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    return [parameter.name for parameter in parameters if parameter.name not in keywords], keywords


@pytest.mark.parametrize(
    ("contract", "implementation"),
    [
        (contracts.Objective, ise_objective),
        (contracts.MemoryUpdate, update_hard),
        (contracts.MemoryUpdate, update_sequential),
        (contracts.Clusterer, partial(dbscan_labels, eps=0.5)),
        (contracts.Clusterer, hdbscan_labels),
        (contracts.Clusterer, partial(agglomerative_labels, eps=0.5)),
        (contracts.Clusterer, partial(infomap_labels, eps=0.5)),
        (contracts.Ranker, evaluate_features),
        (contracts.Ranker, evaluate_reranked),
        (contracts.Extractor, extract_features),
        (contracts.Pooling, average_pool),
        (contracts.Pooling, max_pool),
        (contracts.Pooling, GeMPool().forward),
        (contracts.Projection, pca_map),
        (contracts.Projection, tsne_map),
        (contracts.Backbone, resnet(18, base_width=8).forward),
    ],
)
def test_an_implementation_takes_the_call_of_its_contract(contract, implementation):
    positional, keywords = described_call(contract.__call__)
    assert positional
    bound = inspect.signature(implementation).bind(*positional, **keywords)
    assert all(bound.arguments.get(name, name) == name for name in positional)  # same names are at the same places


def test_a_call_that_does_not_fit_is_noticed():
    positional, keywords = described_call(contracts.MemoryUpdate.__call__)
    with pytest.raises(TypeError, match="momentum"):
        inspect.signature(lambda centroids, features, labels: centroids).bind(*positional, **keywords)


def test_the_memory_has_what_a_step_needs():
    memory = ClusterMemory(np.eye(3, dtype=np.float32), update_hard, 0.2)
    assert tuple(memory.centroids.shape) == (3, 3)
    positional, keywords = described_call(contracts.Memory.update)
    inspect.signature(memory.update).bind(*positional, **keywords)


def test_contracts_import_neither_paddle_nor_numpy():
    code = "import sys, ppreid.contracts; print({'paddle', 'numpy', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"
