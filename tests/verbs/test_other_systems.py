"""Where there is no fcntl, no /proc and no fork, as on Windows: evaluation, search and export run all the same.

No such system is at hand: what ppreid's own modules see of the system is cut down in a process of Linux. The workflow
tries macOS and Windows themselves.
"""

import json
import subprocess
import sys

from ppreid.cli import main

BARE = """
import builtins, io, multiprocessing, os, signal, sys, types

HIDDEN = {
    "os": {"fork", "fchmod", "pread", "pwrite", "geteuid", "getuid", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK",
           "O_CLOEXEC", "sched_getaffinity", "sysconf", "register_at_fork", "getloadavg", "uname", "mkfifo"},
    "signal": {"SIGHUP", "SIGUSR1", "SIGXCPU", "SIGKILL", "SIGSTOP", "pthread_sigmask", "alarm", "SIGALRM"},
    "os.path": set(),
}
MISSING = {"fcntl", "resource", "pwd", "grp", "termios"}
is_of_proc = lambda path: str(path).startswith("/proc")


class Bare(types.ModuleType):
    def __init__(self, module, **instead):
        super().__init__(module.__name__)
        self.__dict__.update(module=module, **instead)
    def __getattr__(self, name):
        if name in HIDDEN[self.__name__ if self.__name__ != "posixpath" else "os.path"]:
            raise AttributeError(name)
        return getattr(self.module, name)


path = Bare(os.path, exists=lambda name: not is_of_proc(name) and os.path.exists(name),
            isdir=lambda name: not is_of_proc(name) and os.path.isdir(name))
real_open = os.open
def open_of_windows(name, *arguments, **options):  # which opens no folders
    if os.path.isdir(name):
        raise PermissionError(13, "Permission denied", str(name))
    return real_open(name, *arguments, **options)
bare = {"os": Bare(os, name="nt", path=path, open=open_of_windows), "signal": Bare(signal)}
original, files = builtins.__import__, io.open

def import_(name, names=None, *others, **named):
    if str((names or {}).get("__name__", "")).startswith("ppreid"):
        if name in MISSING:
            raise ImportError(name)
        if name in bare:
            return bare[name]
    return original(name, names, *others, **named)

def opened(file, *arguments, **options):
    if is_of_proc(file):
        raise FileNotFoundError(2, "No such file or directory", str(file))
    return files(file, *arguments, **options)

builtins.__import__, builtins.open, io.open = import_, opened, opened
multiprocessing.get_all_start_methods = lambda: ["spawn"]
from ppreid.cli import main
code = main(sys.argv[1:])
import ppreid.base.environment as environment
assert environment.fcntl is None and not environment.OPENS_FOLDERS
sys.exit(code)
"""
TINY = ["-c", "tiny.yaml", "-o", "eval.engine=eager", "-o", "model.weights=net.safetensors"]
NO_LOCKS = "has no file locks; nothing keeps a second run out of the folder"


def run(*arguments):
    done = subprocess.run([sys.executable, "-c", BARE, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_an_evaluation_reads_images_itself_and_gives_the_same(everything):
    shown = run("eval", *TINY, "-o", "output_dir=bare", "-o", "data.num_workers=2")
    assert "loader workers need fork" in shown
    assert main(["eval", *TINY, "-o", "output_dir=plain"]) == 0
    bare, plain = (
        json.loads((everything / folder / "results.json").read_text(encoding="utf-8")) for folder in ("bare", "plain")
    )
    assert bare["results"] == plain["results"] and 0 < bare["results"]["mean_ap"] <= 1


def test_an_index_says_that_nothing_locks_its_folder_and_is_searched(everything):
    assert NO_LOCKS in run("search", "index", *TINY, "--out", "bare")
    assert not list((everything / "bare").glob(".*.tmp"))
    run("search", "query", "bare", "person.png", "--json", "found.json")
    assert (everything / "found.json").is_file()


def test_a_network_is_exported(everything):
    run("export", *TINY, "--formats", "paddle", "--out", "bare")
    assert (everything / "bare" / "export.json").is_file()
