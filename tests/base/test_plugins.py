"""Plugins: what is loaded, what is refused, and that nothing but the command line or an installation leads to code."""

import hashlib
import os
import sys
import warnings

import pytest

from ppreid import load_plugins, tables
from ppreid.base.errors import ConfigError, PluginError, PpreidError, PpreidWarning
from ppreid.base.plugins import GROUP, MAX_BYTES
from ppreid.config.load import config_text, load_config

ROW = "from ppreid import tables\ntables.CLUSTERERS['mine'] = tables.Clusterer(lambda distances, **keys: None)\n"


@pytest.fixture(autouse=True)
def untouched_tables(monkeypatch, tmp_path):
    """Every test begins with the tables of ppreid, in a folder of its own, and leaves them so."""
    monkeypatch.chdir(tmp_path)
    before = {key: dict(table) for key, table in tables.CHOICES.items()}
    yield
    assert all(set(before[key]) <= set(table) for key, table in tables.CHOICES.items())
    for key, table in tables.CHOICES.items():
        table.clear()
        table.update(before[key])
    tables.PLUGINS.clear()
    for name in [name for name in sys.modules if name.startswith(("ppreid_plugin_", "my_package"))]:
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path):
    """Writes a plugin; gives its path."""

    def write(text=ROW, name="mine.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with a plugin; gives the folder where it is."""

    def install(point="mine = my_package.method:register", package="my_package", files=None, place="site"):
        folder = tmp_path / place
        files = files or {f"{package}/__init__.py": "", f"{package}/method.py": f"def register():\n    {as_lines(ROW)}"}
        files |= {
            f"{package}-1.0.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
            f"{package}-1.0.dist-info/entry_points.txt": f"[{GROUP}]\n{point}\n",
        }
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        monkeypatch.syspath_prepend(folder)
        return folder

    return install


def as_lines(text):
    return text.replace("\n", "\n    ")


def test_a_file_is_run_once_and_its_row_is_a_choice(plugin):
    file = plugin(ROW + "print('run')\n")
    with pytest.raises(ConfigError, match=r"labels\.clusterer is 'mine'"):
        load_config("demo.yaml", ["labels.clusterer=mine"])
    load_plugins([file, file])
    cfg = load_config("demo.yaml", ["labels.clusterer=mine"])
    digest = hashlib.sha256((ROW + "print('run')\n").encode()).hexdigest()
    assert cfg.plugins == {"mine": digest}
    assert f"plugins:\n  mine: {digest}\n" in config_text(cfg)
    assert tables.PLUGINS["mine"].rows == (("labels.clusterer", "mine"),)


def test_the_bytes_that_have_the_digest_are_run_and_nothing_is_written_beside_them(plugin, tmp_path):
    load_plugins([plugin()])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_a_dataclass_of_a_plugin_finds_its_module(plugin):
    load_plugins([plugin("import dataclasses\n@dataclasses.dataclass\nclass A:\n    b: 'int' = 1\n" + ROW)])


WRONG = {
    "syntax": ("def f(:\n", r"mine\.py:1 failed: SyntaxError"),
    "an import": ("\nimport no_such_module_at_all\n", r"mine\.py:2 failed: ModuleNotFoundError: No module named"),
    "an exception": ("x = 1\n1 / 0\n", r"mine\.py:2 failed: ZeroDivisionError"),
    "an end": ("import sys\nsys.exit(0)\n", r"mine\.py:2 failed: SystemExit: 0"),
    "nothing": ("x = 1\n", r"mine\.py registers nothing"),
    "an empty file": ("", r"mine\.py registers nothing"),
    "a name that exists": (ROW.replace("mine", "dbscan"), r"mine\.py replaces 'dbscan' of labels\.clusterer"),
    "a row less": ("from ppreid import tables\ndel tables.POOLINGS['gem']\n", r"replaces 'gem' of model\.pooling"),
    "no row": ("from ppreid import tables\ntables.CLUSTERERS['mine'] = print\n", r"it takes a row, tables\.Clusterer"),
    "a name of folders": (ROW.replace("'mine'", "'../../x'"), r"calls a row of labels\.clusterer '\.\./\.\./x'"),
    "a name of a number": (ROW.replace("'mine'", "3"), r"calls a row of labels\.clusterer 3"),
    "NUL": (b"x = 1\n\0", r"mine\.py.* failed: (ValueError|SyntaxError)"),
    "another encoding": ("x = 'é'\n".encode("utf-16"), r"mine\.py.* failed: (ValueError|SyntaxError)"),
    "deep": ("(" * 10_000 + ")" * 10_000, r"mine\.py.* failed: (SyntaxError|MemoryError|RecursionError)"),
    "too large": (b"#" * (MAX_BYTES + 1), r"mine\.py has more than 1,048,576 bytes"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_plugin_is_one_message_and_leaves_the_tables_as_they_were(name, plugin):
    before = {key: list(table.items()) for key, table in tables.CHOICES.items()}
    text, message = WRONG[name]
    with pytest.raises(PluginError, match=message) as caught:
        load_plugins([plugin(text)])
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert {key: list(table.items()) for key, table in tables.CHOICES.items()} == before and not tables.PLUGINS


def test_a_row_of_another_plugin_is_not_replaced(plugin):
    load_plugins([plugin()])
    with pytest.raises(PluginError, match=r"other\.py replaces 'mine'"):
        load_plugins([plugin(name="other.py")])
    assert list(tables.PLUGINS) == ["mine"]


def test_ctrl_c_in_a_plugin_ends_the_command(plugin):
    with pytest.raises(KeyboardInterrupt):
        load_plugins([plugin(ROW + "raise KeyboardInterrupt\n")])
    assert "mine" not in tables.CLUSTERERS


def test_two_files_of_one_name_are_refused(plugin, tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(PluginError, match=r"two plugins are called mine: .*/mine\.py and .*/a/mine\.py"):
        load_plugins([plugin(), plugin(ROW + "# changed\n", name="a/mine.py")])


@pytest.mark.parametrize(
    "source", ["a b.py", ".py", "../mine", "os.path", "module:function", "", "x" * 65, "ü.py", "-x"]
)
def test_what_is_no_name_of_a_plugin_is_refused(source, plugin):
    plugin(name=source if source.endswith(".py") else "mine.py")
    with pytest.raises(PluginError, match=r"--plugin is .* it takes a file NAME\.py, or the NAME of a plugin"):
        load_plugins([source])


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "device", "link to nothing"])
def test_what_is_no_file_is_not_waited_for(kind, tmp_path):
    path = tmp_path / "mine.py"
    match kind:
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "link to nothing":
            path.symlink_to("nowhere")
    with pytest.raises(PluginError, match=rf"cannot read .*{path}"):
        load_plugins([str(path)])


# installed packages


def test_an_installed_plugin_is_loaded_by_its_name_alone(install):
    folder = install()
    assert load_config("demo.yaml").plugins == {}  # nobody asks
    load_plugins(["mine"])
    lines = [f"{hashlib.sha256(b'').hexdigest()}  __init__.py"]
    lines.append(f"{hashlib.sha256((folder / 'my_package' / 'method.py').read_bytes()).hexdigest()}  method.py")
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert load_config("demo.yaml", ["labels.clusterer=mine"]).plugins == {"mine": digest}


def test_a_configuration_that_names_an_installed_plugin_has_it(install):
    install("mine = my_package_module", "my_package_module", {"my_package_module.py": ROW})
    cfg = load_config("demo.yaml", ["plugins.mine=", "labels.clusterer=mine"])
    assert cfg.plugins == {"mine": hashlib.sha256(ROW.encode()).hexdigest()}


def test_a_name_that_nobody_has_installed_is_refused(install):
    install()
    with pytest.raises(PluginError, match=r"no installed package has a plugin min; .* --plugin min\.py"):
        load_plugins(["min"])
    # names are not made alike, as names of packages are
    with pytest.raises(PluginError, match="asks for the plugin Mine"):
        load_config("demo.yaml", ["plugins.Mine="])


def test_two_packages_with_one_name_are_refused(install):
    install()
    install("mine = my_package_2", "my_package_2", {"my_package_2.py": ROW})
    with pytest.raises(PluginError, match="my_package and my_package_2 have a plugin mine each"):
        load_plugins(["mine"])


def test_a_package_that_is_half_there_is_refused(install):
    install("mine = my_package_gone", "my_package_gone", {"other.py": ""})
    with pytest.raises(PluginError, match="mine is installed as my_package_gone, which is not there"):
        load_plugins(["mine"])


def test_a_package_whose_function_is_missing_fails_with_its_name(install):
    install("mine = my_package.method:nothing")
    with pytest.raises(PluginError, match=r"my_package/__init__\.py failed: AttributeError"):
        load_plugins(["mine"])


# what files can do


MARK = "from pathlib import Path\nPath({mark!r}).touch()\n"


def test_no_name_in_a_configuration_makes_code_run(tmp_path, plugin, install, monkeypatch):
    mark = tmp_path / "code ran"
    evil = MARK.format(mark=str(mark)) + ROW
    plugin(evil)
    # what somebody has sent: beside the configuration, as a module of the working directory, and as if installed there
    folder = install("mine = evil", "evil", {"evil.py": evil, "mine.py": evil}, place="sent")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", ["", str(folder), *sys.path])
    for name in (
        "mine",
        "evil",
        "evil.py",
        "./mine",
        str(folder / "mine.py"),
        "evil:register",
        "os",
        "../mine",
        "a\nb",
    ):
        for recorded in ("", hashlib.sha256(evil.encode()).hexdigest()):
            file = folder / "sent.yaml"
            file.write_text(config_text(load_config("demo.yaml")).replace("plugins: {}", "plugins:\n  ? X\n  : Y\n"))
            text = file.read_text().replace("? X", f"? {name!r}").replace(": Y", f": {recorded!r}")
            file.write_text(text)
            for alone in (False, True):
                with pytest.raises(PpreidError, match="plugin") as caught:
                    load_config(file, alone=alone)
                assert caught.value.exit_code in (2, 3)
    assert not mark.exists() and "evil" not in sys.modules and not tables.PLUGINS


@pytest.mark.parametrize("value", ["3", "[mine]", "{mine: 3}", "{mine: null}", "{mine: {a: b}}", "{3: ''}", "mine"])
def test_what_is_no_list_of_plugins_is_said(value, plugin):
    load_plugins([plugin()])
    with pytest.raises(ConfigError, match="plugins"):
        load_config("demo.yaml", [f"plugins={value}"])


def test_more_plugins_than_anybody_has_are_refused(plugin):
    load_plugins([plugin()])
    many = ", ".join(f"a{number}: ''" for number in range(5_000))
    with pytest.raises(PluginError, match="asks for the plugin a0"):
        load_config("demo.yaml", [f"plugins={{{many}}}"])


def test_another_digest_is_said_once_for_each_file(plugin, tmp_path):
    load_plugins([plugin()])
    file = tmp_path / "of_another.yaml"
    recorded = config_text(load_config("demo.yaml")).replace(tables.PLUGINS["mine"].sha256, "a" * 64)
    file.write_text(recorded)
    with pytest.warns(PpreidWarning, match=rf"{file} was made with another version of the plugin mine \(sha256 aaaaaa"):
        cfg = load_config(file, alone=True)
    assert cfg.plugins == {"mine": "a" * 64}  # what the file says; who goes on with it records what is there
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_config(file, ["seed=2"], alone=True)


def test_who_asks_and_for_what_option_is_said(plugin, tmp_path):
    plugin()
    file = tmp_path / "asks.yaml"
    file.write_text('base: demo.yaml\nplugins: {mine: ""}\nlabels: {clusterer: mine}\n')
    with pytest.raises(PluginError, match=rf"{file} asks for the plugin mine, .* pass --plugin mine\.py"):
        load_config(file)
