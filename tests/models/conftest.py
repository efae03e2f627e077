"""A network small enough to be built and run in every test."""

from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import paddle
import pytest

from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet


@pytest.fixture
def tiny_net() -> Callable[..., ReIDNet]:
    """Builds a ReIDNet on a ResNet-18 with 8 base channels, with the same weights on every call."""

    def build(**options) -> ReIDNet:
        paddle.seed(0)
        return ReIDNet(resnet(18, base_width=8), **options)

    return build


@pytest.fixture(scope="session")
def torch_writer() -> ModuleType:
    """The module torch_writer.py beside this file; a test folder is no package."""
    spec = spec_from_file_location("torch_writer", Path(__file__).with_name("torch_writer.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
