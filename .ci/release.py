"""Build what is released, and look at it: wheel, source archive, list of parts. `make release-check` runs it.

Both archives are made twice, in different folders, time zones and orders, and must be equal to the byte; so must a
wheel that is made from the source archive. Nothing here needs a network: build tools and requirements are there.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.metadata import Metadata
from parts import ReleaseError, installed_in, parts, resolve

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
GIT = ("git", "-C", ROOT, "-c", f"safe.directory={ROOT}")  # a checkout in a container may be another user's
BUILD = "import os, sys; os.umask(0o022); from setuptools import build_meta; print(build_meta.build_{}(sys.argv[1]))"


def output_of(*command: object, **options: object) -> str:
    """What a command prints; a ReleaseError with its last words if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)  # type: ignore
    if done.returncode:
        raise ReleaseError(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def tracked_files() -> list[str]:
    """Paths of the files that git tracks and that are there, from the root, sorted."""
    names = output_of(*GIT, "ls-files", "-z").split("\0")
    return sorted(name for name in names if name and (ROOT / name).is_file())


def copy_tree(target: Path, names: Iterable[str]) -> Path:
    """Copy files of the repository, with the same permissions wherever they were checked out."""
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
        (target / name).chmod(0o755 if os.access(ROOT / name, os.X_OK) else 0o644)
    return target


def build(tree: Path, target: Path, *, epoch: int, zone: str, kinds: Iterable[str] = ("sdist", "wheel")) -> None:
    """Build in a tree.

    Args:
        tree: holds setup.py; the build leaves its files there.
        target: folder for the archives.
        epoch: time of all that is in them, seconds since 1970.
        zone: time zone of the build, and the seed of its hashes: neither may change anything.
        kinds: "sdist", "wheel".
    """
    target.mkdir()
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(epoch), "TZ": zone, "PYTHONHASHSEED": str(len(zone))}
    environment.pop("PYTHONPATH", None)
    for kind in kinds:
        output_of(sys.executable, "-c", BUILD.format(kind), target, cwd=tree, env=environment)
    for archive in target.glob("*.tar.gz"):
        archive.write_bytes(same_archive(archive.read_bytes(), epoch=epoch))


def same_archive(content: bytes, *, epoch: int) -> bytes:
    """A .tar.gz without what differs between two builds: order, times, owners, permissions of the builder."""
    plain = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(content)) as source,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in sorted(source.getmembers(), key=lambda member: member.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            target.addfile(member, source.extractfile(member))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=epoch) as file:
        file.write(plain.getvalue())
    return packed.getvalue()


def build_twice(folder: Path, names: list[str], *, epoch: int) -> list[Path]:
    """Build two times, and the wheel a third time from the source archive; gives both archives if they are equal.

    Raises:
        ReleaseError: they differ.
    """
    first, second, third = folder / "first", folder / "second", folder / "third"
    # both copies first: whoever edits a file meanwhile changes neither
    tree, elsewhere = copy_tree(folder / "tree", names), copy_tree(folder / "a tree elsewhere", reversed(names))
    build(tree, first, epoch=epoch, zone="UTC")
    build(elsewhere, second, epoch=epoch, zone="Asia/Kathmandu")
    archives = sorted(first.iterdir())
    with tarfile.open(next(path for path in archives if path.name.endswith(".tar.gz"))) as source:
        source.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build(unpacked, third, epoch=epoch, zone="America/St_Johns", kinds=["wheel"])
    for archive in archives:
        for other in (second / archive.name, third / archive.name):
            if other.exists() and other.read_bytes() != archive.read_bytes():
                raise ReleaseError(f"{archive.name} is not the same when it is built again ({other.parent.name} build)")
    return archives


def check_wheel(wheel: Path, names: Iterable[str]) -> Metadata:
    """Compare a wheel with what is tracked: the package and all configurations, and nothing else.

    Args:
        wheel: file.
        names: of the tracked files, from the root.

    Returns:
        Its metadata.

    Raises:
        ReleaseError: with the names that are missing or too many.
    """
    wanted = {name for name in names if name.startswith("ppreid/")}
    wanted |= {f"ppreid/{name}" for name in names if re.fullmatch(r"configs/\w+\.yaml", name)}
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())
        info = next(name.partition("/")[0] for name in found if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(f"{info}/METADATA"), validate=True)
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    found = {name for name in found if not name.startswith(f"{info}/")}
    for what, files in (("lacks", wanted - found), ("has more than the package:", found - wanted)):
        if files:
            raise ReleaseError(f"{wheel.name} {what} {', '.join(sorted(files)[:5])} (package_data in setup.py)")
    if "ppreid = ppreid.cli:main" not in scripts:
        raise ReleaseError(f"{wheel.name} does not install the command ppreid")
    return metadata


def check_source(archive: Path, names: Iterable[str]) -> None:
    """Every tracked file is in the source archive: its tests run, and a wheel can be built of it."""
    with tarfile.open(archive) as file:
        found = {name.partition("/")[2] for name in file.getnames()}
    if missing := set(names) - found:
        raise ReleaseError(f"{archive.name} lacks {', '.join(sorted(missing)[:5])} (MANIFEST.in)")


def check_metadata(metadata: Metadata, *, version: str, known_classifiers: Iterable[str], published: bool) -> None:
    """Refuse metadata that a registry would refuse, or that says something else than the repository.

    Args:
        metadata: of the wheel; it has passed the specification's own checks.
        version: that ppreid/__init__.py states.
        known_classifiers: the list that registries accept.
        published: whether this is a release, which must say where its source is.

    Raises:
        ReleaseError: the first thing that is wrong.
    """
    classifiers = set(metadata.classifiers or ())
    minors = tuple(re.findall(r":: (3\.\d+)$", "\n".join(sorted(classifiers)), re.MULTILINE))
    facts = {
        "Version": (str(metadata.version), version),
        "License-Expression": (metadata.license_expression, "Apache-2.0"),
        "License-File": (metadata.license_files, ["LICENSE"]),
        "Description-Content-Type": (metadata.description_content_type, "text/markdown"),
        "Requires-Python": (str(metadata.requires_python), f">={PYTHONS[0]}"),
        "Classifier (Python)": (tuple(sorted(minors, key=lambda text: int(text[2:]))), PYTHONS),
        "classifiers that do not exist": (classifiers - set(known_classifiers), set()),
        "requirements that are addresses": ([str(each) for each in metadata.requires_dist or () if each.url], []),
        "extras cpu and gpu": ({"cpu", "gpu"} - set(metadata.provides_extra or ()), set()),
        "empty fields": ([name for name in ("author", "summary", "keywords") if not getattr(metadata, name)], []),
    }
    for name, (found, wanted) in facts.items():
        if found != wanted:
            raise ReleaseError(f"metadata, {name}: found {found}, expected {wanted}; see setup.py")
    urls = metadata.project_urls or {}
    needed = {"Paper"} | ({"Source", "Issues", "Changelog"} if published else set())
    if needed - set(urls) or not all(url.startswith("https://") for url in urls.values()):
        raise ReleaseError(f"metadata, Project-URL: found {urls}; a release sets PPREID_REPOSITORY, see setup.py")


def check_changelog(text: str, *, version: str, tag: str) -> None:
    """The changes of this version are written down; of a release with its date, and the tag is its version."""
    heading = re.search(rf"^## {re.escape(version)} \((unreleased|\d{{4}}-\d\d-\d\d)\)$", text, re.MULTILINE)
    if not heading:
        raise ReleaseError(f"CHANGELOG.md has no heading '## {version} (unreleased)' or with a date like 2026-01-31")
    if tag and tag != f"v{version}":
        raise ReleaseError(f"the tag is {tag}, but ppreid/__init__.py states {version}: expected v{version}")
    if tag and heading[1] == "unreleased":
        raise ReleaseError(f"CHANGELOG.md says that {version} is unreleased; write its date before the tag")


def try_wheel(wheel: Path, folder: Path, *, python: Path, site: Path, version: str) -> None:
    """Install the wheel alone into a new environment that borrows the requirements of another, and run it there."""
    output_of(python, "-m", "venv", "--without-pip", folder)
    new = folder / "bin" / "python"
    pip = ("-m", "pip", "--disable-pip-version-check", "--python", new)
    output_of(python, *pip, "install", "--quiet", "--no-index", "--no-deps", wheel)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "borrowed.pth").write_text(f"{site}\n", encoding="utf-8")  # after the new environment's own packages
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    environment = {"PATH": os.environ["PATH"], "HOME": str(elsewhere), "LANG": "C.UTF-8"}
    options = {"cwd": elsewhere, "env": environment}
    where = output_of(new, "-c", "import ppreid; print(ppreid.__file__)", **options).strip()
    if not where.startswith(str(own)):
        raise ReleaseError(f"the new environment imports {where}, expected a file in {own}")
    for words, expected in (
        (["--help"], "train"),
        (["--version"], version),
        (["config", "-c", "demo.yaml"], "output_dir: output/demo"),
        (["config", "-c", "ise_market1501.yaml"], "name: market1501"),
    ):
        if expected not in output_of(folder / "bin" / "ppreid", *words, **options):
            raise ReleaseError(f"ppreid {' '.join(words)} from the wheel does not print {expected!r}")


def main() -> None:
    """Check everything, and leave the files in a folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", type=Path, required=True, help="of an environment that has requirements.txt")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder that gets the files")
    parser.add_argument("--tag", default="", help="of a release, such as v0.1.0")
    args = parser.parse_args()
    from trove_classifiers import classifiers

    version = re.search(r'__version__ = "(.+?)"', (ROOT / "ppreid" / "__init__.py").read_text(encoding="utf-8"))[1]
    check_changelog((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), version=version, tag=args.tag)
    epoch = int(output_of(*GIT, "log", "-1", "--format=%ct"))
    site = Path(output_of(args.python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    names = tracked_files()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        archives = build_twice(folder, names, epoch=epoch)
        wheel, source = sorted(archives, key=lambda path: path.suffix != ".whl")
        metadata = check_wheel(wheel, names)
        check_source(source, names)
        check_metadata(metadata, version=version, known_classifiers=classifiers, published=bool(args.tag))
        installed = installed_in(site)
        graph = resolve([str(each) for each in metadata.requires_dist or ()], installed, "cpu")
        try_wheel(wheel, folder / "new", python=args.python, site=site, version=version)
        args.out.mkdir(exist_ok=True)
        for old in args.out.glob("ppreid-*"):
            old.unlink()
        for archive in archives:
            shutil.copyfile(archive, args.out / archive.name)
    sbom = args.out / f"ppreid-{version}.cdx.json"
    sbom.write_text(json.dumps(parts(metadata, graph, installed, epoch), indent=2) + "\n", encoding="utf-8")
    for file in sorted(args.out.glob("ppreid-*")):
        print(hashlib.sha256(file.read_bytes()).hexdigest(), "", file.name)


if __name__ == "__main__":
    try:
        main()
    except ReleaseError as error:
        sys.exit(f"not to be released: {error}")
