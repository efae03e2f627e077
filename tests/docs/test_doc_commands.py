"""Every command in pages, in the help of tools and in configurations is run or checked; none is left over."""

import re

import pytest
from pages import PAGES, ROOT, commands, page_name, words

from ppreid.base.errors import ConfigError
from ppreid.cli import VERBS, main, parser, verb_module
from ppreid.config.load import find_config, load_config

# what stands for a file of the user: a configuration that exists takes its place
USERS_CONFIGS = {"CONFIG", "config.yaml", "mine.yaml", "my.yaml"}
# commands of other programs: what is right about them cannot be checked here
OF_OTHERS = {
    "docker",
    "grep",
    "sudo",
    "git",
    "source",
    "cd",
    "export",
    "df",
    "cp",
    "nvidia-smi",
    "ulimit",
    "apt-get",
    "taskset",
    "eval",
}
FOUND = [(page_name(page), command) for page in PAGES for command in commands(page.read_text("utf-8"))]
for _name in VERBS:
    lines = [line.strip() for line in verb_module(_name).EXAMPLES.splitlines()]
    FOUND += [(f"{_name} --help", line) for line in lines if line.startswith(("python ", "ppreid "))]
for _file in sorted((ROOT / "configs").glob("*.yaml")):
    FOUND += [
        (_file.name, part.strip())
        for line in re.findall(r"^# (?:Command:|        ) +(python .*)$", _file.read_text("utf-8"), re.MULTILINE)
        for part in re.sub(r"\s{3,}\(.*", "", line).split("&&")
    ]


def arguments_of(command):
    """Arguments for ppreid's own command line; None for another program."""
    program, *rest = words(command)
    if program == "ppreid":
        return ["train" if word == "COMMAND" else word for word in rest]
    if rest[:2] == ["-m", "paddle.distributed.launch"]:
        rest = rest[next(i for i, word in enumerate(rest) if word.endswith(".py")) :]
    if program.startswith("python") and rest and (tool := re.fullmatch(r"(?:\.?/?)tools/(\w+)\.py", rest[0])):
        assert (ROOT / "tools" / f"{tool[1]}.py").is_file(), command
        return [tool[1].replace("_", "-"), *rest[1:]]
    return None


def check(command):
    """Assert that a command could be run; returns what kind it is."""
    program, *rest = words(command)
    own = arguments_of(command)
    if own is not None and own[:1] == own and own[0] in VERBS:
        return "name"  # "`ppreid train` and so on"
    if own is not None:
        check_own(own)
        return "ppreid"
    match [program, *rest]:
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
            assert targets and all(re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE) for name in targets)
            return "make"
        case ["pip", "install", *what]:
            return check_pip(what)
        case ["python" | "python3", "-m", "venv" | "pytest" | "ruff" | "mypy", *_]:
            return "python"
        case ["python", "-m", "paddle.distributed.launch", "--nproc_per_node", _, *launched]:
            return check(" ".join([program, *launched]))
        case ["python" | "python3", "-m", module, *_] if module.startswith("ppreid"):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file()
            return "python"
        case ["python" | "python3", script, *_] if script.endswith(".py"):
            assert (ROOT / script).is_file(), f"{script} does not exist"
            return "python"
    return "other" if program in OF_OTHERS else None


def check_pip(what):
    """Requirements files exist; packages are those that ppreid's own files name."""
    known = "".join(file.read_text(encoding="utf-8") for file in [ROOT / "setup.py", *ROOT.glob("requirements*.txt")])
    for argument in what:
        if argument.endswith(".txt"):
            assert (ROOT / argument).is_file(), argument
        elif not argument.startswith("-") and argument != ".":
            name = re.match(r"[\w-]+", argument.removeprefix("."))
            extras = re.search(r"\[(.+)\]", argument)
            assert extras or name[0].lower() in known.lower(), f"{argument} is in none of our requirements"
    return "pip"


def check_own(arguments):
    """The parser takes the arguments, and the configuration with its overrides loads."""
    try:
        parsed = parser().parse_args(arguments)
    except SystemExit as end:
        assert end.code == 0, f"the parser refuses {arguments}"  # --help and --version end so
        return
    for file in getattr(parsed, "configs", None) or filter(None, [getattr(parsed, "config", None)]):
        if file in USERS_CONFIGS or file.startswith("output/"):
            file = "demo.yaml"
        load_config(find_config(file), getattr(parsed, "overrides", []))


def test_there_are_commands_from_everywhere():
    origins = {origin for origin, _ in FOUND}
    assert {"README.md", "docs/quick-start.md", "docs/reproducing.md", "train --help", "demo.yaml"} <= origins
    assert len(FOUND) > 80


@pytest.mark.parametrize(("origin", "command"), sorted(set(FOUND)), ids=lambda text: text.replace("/", "|"))
def test_the_command_could_be_run(origin, command):
    assert check(command), f"{origin}: nobody knows how to check {command!r}; see OF_OTHERS"


@pytest.mark.parametrize(
    "command",
    [
        "python tools/train.py -c demo.yaml --resum=x --no-such-option",
        "python tools/train.py -c nothing.yaml",
        "python tools/train.py -c demo.yaml -o solver.lrr=1",
        "python tools/no_such_tool.py",
        "ppreid trian -c demo.yaml",
        "pip install -r no-such-file.txt",
        "pip install some-other-package",
        "make no-such-target",
        "python benchmarks/nothing.py",
        "cargo build",
        "python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py -c demo.yaml --resum=x -o solver.lrr=1",
    ],
)
def test_a_wrong_command_would_be_noticed(command):
    try:
        kind = check(command)
    except (AssertionError, ConfigError):
        return
    assert kind is None


SMALLER = {
    "make-demo-data": "--train-identities 6 --test-identities 4 --cameras 3 --distractors 4 --height 32 --width 16",
    "train": "-o solver.epochs=1 -o solver.iters=2 -o batch.identities=2 -o eval.batch_size=64",
}
SMALLER_RECORDINGS = SMALLER | {
    "make-demo-data": "--people 3 --seconds 4 --height 200 --width 240",
    "crops": "--per-second 4 --min-size 30x80",
}
TINY = (
    "-o data.height=32 -o data.width=16 -o model.base_width=8 -o data.num_workers=0 -o labels.k1=5 -o labels.k2=2 "
    "-o labels.min_samples=2 -o eval.engine=eager"
)


def run_page(name, *, without=(), smaller=SMALLER):
    """Run the commands of ours on a page in their order, only smaller; gives their names."""
    done = []
    for command in commands((ROOT / "docs" / name).read_text(encoding="utf-8")):
        arguments = arguments_of(command)
        if not arguments or any(part in command for part in without):
            continue
        more = smaller.get(arguments[0], "").split() + (TINY.split() if "-c" in arguments else [])
        code = main([*arguments, *more])
        # the machine of the tests may have its own problems
        assert code == 0 or arguments[0] == "doctor", arguments
        done.append(arguments[0])
    return done


def test_the_quick_start_runs_as_it_stands_only_smaller(tmp_path, monkeypatch):
    """All commands of the page in their order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    done = run_page("quick-start.md")
    assert done == ["doctor", "make-demo-data", "train", "train", "eval", "cluster", "cluster", "extract"]
    for file in ("people.png", "output/demo/checkpoint_last.safetensors", "clusters.csv", "query.npy", "query.csv"):
        assert (tmp_path / file).is_file(), file


def test_the_way_from_own_images_to_an_index_runs_as_it_stands_only_smaller(tmp_path, monkeypatch):
    """All commands of the page but the one that takes released weights, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    done = run_page("own-cameras.md", without=["pd_model_trace"])
    assert done == ["make-demo-data", "doctor", "train", "cluster", "search", "search"]
    for file in ("output/camera_folder_demo/cameras.csv", "output/index/index.json", "output/found.png"):
        assert (tmp_path / file).is_file(), file


def test_the_way_from_recordings_runs_as_it_stands_only_smaller(tmp_path, monkeypatch):
    """All commands of the page in their order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    done = run_page("recordings.md", smaller=SMALLER_RECORDINGS)
    assert done == ["make-demo-data", "crops", "train", "eval", "export", "search", "search"]
    for file in (
        "data/mine/tracks.csv",
        "data/mine/tracks.html",
        "output/recordings/report.html",
        "index/index.json",
        "person.onnx",
    ):
        assert (tmp_path / file).is_file(), file
