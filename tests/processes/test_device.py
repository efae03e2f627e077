import paddle
import pytest

from ppreid.base.errors import ConfigError
from ppreid.processes.device import use_device


def test_auto_takes_what_there_is():
    has_gpu = paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0
    assert use_device("auto").startswith("gpu" if has_gpu else "cpu")


def test_the_cpu_is_always_there():
    assert use_device("cpu") == "cpu"


def test_a_gpu_that_is_not_there_is_an_error():
    with pytest.raises(ConfigError, match=r"device is 'gpu:99', but .* GPUs were found"):
        use_device("gpu:99")
