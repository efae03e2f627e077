"""Whether this build of paddle holds code for the GPUs that are there: a card may be seen and yet run nothing."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ppreid.doctor.findings import Finding, ok, problem

Capability = tuple[int, int]  # compute capability, e.g. (8, 6)

# (first two numbers of paddle's version, its CUDA) -> least and greatest capability that it holds code for. This is the
# one of the public registry, as its library says: no PTX, which later cards could translate. Code for 8.6 runs on later
# cards too whose capability begins with 8.
KNOWN_BUILDS: Mapping[tuple[str, str], tuple[Capability, Capability]] = {("2.6", "11.8"): ((6, 1), (8, 6))}


def check_gpu_build(
    gpus: Sequence[tuple[str, Capability]],
    *,
    version: str,
    cuda: str,
    compute: Callable[[int], float],
    builds: Mapping[tuple[str, str], tuple[Capability, Capability]] = KNOWN_BUILDS,
) -> list[Finding]:
    """Compare every GPU with the build, and let it compute something.

    Args:
        gpus: name and capability of each GPU that paddle sees; without any there is nothing to check.
        version: of paddle, e.g. "2.6.2".
        cuda: that it was built with, e.g. "11.8".
        compute: 1 + 1 on the GPU of a number; whatever it raises, the GPU cannot be used.
        builds: the capabilities of builds that are known.

    Returns:
        One finding for each GPU, "ok" or a problem.
    """
    known = builds.get((".".join(version.split(".")[:2]), cuda))
    findings = []
    for number, (name, capability) in enumerate(gpus):
        text = f"gpu:{number} {name}, compute capability {_dotted(capability)}; paddle {version} with CUDA {cuda}"
        advice = "install the build for this card, see docs/installation.md; until then: -o device=cpu"
        if known and not (known[0] <= capability and capability[0] <= known[1][0]):
            text += f", which holds code for {_dotted(known[0])} to {_dotted(known[1])} only"
            findings.append(problem("GPU build", text, advice))
            continue
        try:
            result = compute(number)
        except Exception as error:  # noqa: BLE001 - libraries that are missing, no code for the card, a driver too old
            reason = next((line for line in reversed(str(error).splitlines()) if line.strip()), "")
            findings.append(problem("GPU build", f"{text}; computing fails: {type(error).__name__}: {reason}", advice))
            continue
        if result == 2:
            findings.append(ok("GPU build", f"{text}; it computes"))
        else:
            findings.append(problem("GPU build", f"{text}; 1 + 1 gives {result}", advice))
    return findings


def check_this_build(properties: Sequence[Any]) -> list[Finding]:
    """The same for the paddle that is installed; properties are what it says of each GPU."""
    import paddle

    gpus = [(gpu.name, (gpu.major, gpu.minor)) for gpu in properties]
    return check_gpu_build(gpus, version=paddle.__version__, cuda=str(paddle.version.cuda()), compute=_one_plus_one)


def seen_gpus() -> list[Any]:
    """What paddle says of each GPU that it sees: name, major, minor, total_memory."""
    import paddle

    cuda = paddle.device.cuda
    count = cuda.device_count() if paddle.device.is_compiled_with_cuda() else 0
    return [cuda.get_device_properties(number) for number in range(count)]


def _one_plus_one(number: int) -> float:
    """Computed on a GPU by paddle, and fetched."""
    import paddle

    place = paddle.CUDAPlace(number)
    return float((paddle.to_tensor(1.0, place=place) + paddle.to_tensor(1.0, place=place)).numpy())


def _dotted(capability: Capability) -> str:
    return ".".join(map(str, capability))
