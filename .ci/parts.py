"""The list of parts (SBOM) of a release: what ppreid was tested with, in CycloneDX's form."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import Distribution, distributions
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


class ReleaseError(Exception):
    """What is wrong with a release, and what to do."""


def resolve(requirements: Iterable[str], installed: Mapping[str, Distribution], extra: str) -> dict[str, set[str]]:
    """Follow requirements through what is installed.

    Args:
        requirements: of ppreid, as its wheel states them.
        installed: distributions by canonical name.
        extra: of ppreid, e.g. "cpu".

    Returns:
        {name: names that it needs}; ppreid itself is "ppreid".

    Raises:
        ReleaseError: one is not installed, or in a version that is not allowed.
    """
    graph: dict[str, set[str]] = {}
    waiting = [("ppreid", list(requirements), {"", extra})]
    seen = set()
    while waiting:
        name, stated, extras = waiting.pop()
        needs = graph.setdefault(name, set())
        for requirement in map(Requirement, stated):
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": each}) for each in extras):
                continue
            other = canonicalize_name(requirement.name)
            needs.add(other)
            if other not in installed or not requirement.specifier.contains(installed[other].version, prereleases=True):
                there = installed[other].version if other in installed else "nothing"
                raise ReleaseError(f"{name} needs {requirement}, but {there} is installed")
            if (key := (other, frozenset(requirement.extras))) not in seen:
                seen.add(key)
                waiting.append((other, installed[other].requires or [], {"", *requirement.extras}))
    return graph


def parts(metadata: Metadata, graph: Mapping[str, set[str]], installed: Mapping[str, Distribution], epoch: int) -> dict:
    """The list of parts (SBOM) as CycloneDX 1.5: ppreid, what it was tested with, and what needs what.

    Args:
        metadata: of the wheel.
        graph: see `resolve`.
        installed: distributions by canonical name.
        epoch: time of the release, seconds since 1970.
    """
    references = {name: f"pkg:pypi/{name}@{installed[name].version}" for name in sorted(graph) if name != "ppreid"}
    references["ppreid"] = f"pkg:pypi/ppreid@{metadata.version}"
    components = [
        {
            "type": "library",
            "bom-ref": references[name],
            "name": name,
            "version": installed[name].version,
            "purl": references[name],
            "licenses": licences(installed[name]),
        }
        for name in sorted(graph)
        if name != "ppreid"
    ]
    ours = {"type": "library", "bom-ref": references["ppreid"], "name": "ppreid", "version": str(metadata.version)}
    ours |= {"purl": references["ppreid"], "licenses": [{"license": {"id": metadata.license_expression}}]}
    content = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": ours,
        },
        "components": components,
        "dependencies": [
            {"ref": references[name], "dependsOn": sorted(references[other] for other in graph[name])}
            for name in sorted(graph)
        ],
    }
    number = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))  # the same list has the same number
    return content | {"serialNumber": f"urn:uuid:{number}"}


def licences(distribution: Distribution) -> list[dict]:
    """What a distribution says of its licence: an SPDX expression, else its classifiers or words; maybe nothing."""
    metadata = distribution.metadata
    if expression := metadata["License-Expression"]:
        return [{"expression": expression}]
    classifiers = [text for text in metadata.get_all("Classifier") or () if text.startswith("License ::")]
    names = [text.rpartition(" :: ")[2] for text in classifiers] or [(metadata["License"] or "").strip()]
    return [{"license": {"name": name.splitlines()[0][:200]}} for name in names if name]


def installed_in(site: Path) -> dict[str, Distribution]:
    """The distributions in a folder, by canonical name."""
    return {canonicalize_name(each.metadata["Name"]): each for each in distributions(path=[str(site)])}
