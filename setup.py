"""Install ppreid. Neither paddle nor numpy is imported here, so that `pip install` works on a bare machine."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


def requirements(name: str) -> list[str]:
    """Lines of a requirements file without comments and without `-e .`."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith(("#", "-e"))]


def version() -> str:
    """The version that ppreid/__init__.py states."""
    text = (HERE / "ppreid" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'__version__ = "(.+?)"', text)[1]


def description(repository: str) -> str:
    """The README; what it leads to inside the repository is led to at its address, where that is known."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    if not repository:
        return text
    text = re.sub(r"(!\[[^\]]*\]\()(?!https?:|#)", rf"\1{repository}/raw/v{version()}/", text)
    return re.sub(r"((?<!!)\[[^\]]*\]\()(?!https?:|#)", rf"\1{repository}/blob/v{version()}/", text)


# Where the repository is published is known to the machine that releases it: release.yml says it.
REPOSITORY = os.environ.get("PPREID_REPOSITORY", "").rstrip("/")
URLS = {"Paper": "https://arxiv.org/abs/2204.06892"}
if REPOSITORY:
    URLS |= {"Source": REPOSITORY, "Issues": f"{REPOSITORY}/issues"}
    URLS |= {"Documentation": f"{REPOSITORY}/tree/main/docs", "Changelog": f"{REPOSITORY}/blob/main/CHANGELOG.md"}

# What runs on either device; the paddle and faiss builds differ and live in the extras below.
COMMON = [line for line in requirements("requirements.txt") if not line.startswith(("paddlepaddle", "faiss"))]


class BuildWithConfigs(build_py):
    """Puts configs/ into the package of a wheel; a checkout that is installed with -e has them where they are.

    As a package with a folder of its own, configs/ would make `pip install -e .` install a finder instead of a plain
    path, and Python, started in the folder above a checkout called ppreid, would take the checkout for the package.
    """

    def run(self) -> None:
        """Copy the modules, then the configurations."""
        super().run()
        for source, target in self._configs().items():
            self.mkpath(str(Path(target).parent))
            self.copy_file(source, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """All files that are made."""
        return [*super().get_outputs(include_bytecode), *self._configs().values()]

    def _configs(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        target = Path(self.build_lib, "ppreid", "configs")
        return {str(file): str(target / file.name) for file in sorted((HERE / "configs").glob("*.yaml"))}


setup(
    name="ppreid",
    version=version(),
    description="Unsupervised person re-identification with ISE on PaddlePaddle",
    long_description=description(REPOSITORY),
    long_description_content_type="text/markdown",
    author="The ppreid authors",
    license_expression="Apache-2.0",
    license_files=["LICENSE"],
    url=REPOSITORY or None,
    project_urls=URLS,
    keywords=["person re-identification", "unsupervised learning", "PaddlePaddle", "clustering", "tracking"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Environment :: Console",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Natural Language :: Chinese (Simplified)",
        "Natural Language :: English",
        "Operating System :: POSIX :: Linux",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["ppreid", "ppreid.*"]),
    package_dir={"": "."},  # says what is true anyway; without it -e installs a finder as well
    package_data={"ppreid": ["py.typed", "report/templates/*"]},
    cmdclass={"build_py": BuildWithConfigs},
    install_requires=COMMON,
    extras_require={
        "cpu": [line for line in requirements("requirements.txt") if line not in COMMON],
        "gpu": [line for line in requirements("requirements-gpu.txt") if line not in COMMON],  # numpy 1 among them
        "infomap": ["infomap>=2.16"],  # labels.clusterer: infomap; its licence is the AGPL
        # with paddle 2: paddle2onnx<2; no version of it has wheels for paddle 3 on Python 3.12 and newer
        "onnx": ['paddle2onnx>=1.3.1; python_version < "3.12"', "onnx>=1.15", "onnxruntime>=1.17"],
        "openvino": ["openvino>=2025.0"],  # eval.engine: openvino
        "int8": ["openvino>=2025.0", "nncf>=3.4"],  # eval.precision: int8
        # version 5 of OpenCV has no HOG detector; the wheels hold FFmpeg (LGPL) as well
        "recordings": ["opencv-python-headless>=4.10,<5"],
        "ray": ["ray>=2.9"],  # --ray, docs/scaling.md
        "visualdl": ["visualdl>=2.5"],  # log.visualdl
        "tensorboard": ["tensorboardX>=2.6"],  # log.tensorboard
        "wandb": ["wandb>=0.20"],  # log.wandb
        "notebook": ["pandas>=2"],  # to_pandas of results, docs/python-api.md
        "completion": ["shtab>=1.7"],  # docs/command-line.md
        "dev": requirements("requirements-dev.txt"),
    },
    entry_points={"console_scripts": ["ppreid = ppreid.cli:main"]},
)
