"""The projects that can be harvested, and reading one release of one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from plimsoll.errors import BadSetting
from tools.harvest import (
    archive,
    exllama,
    fetch,
    llama_cpp,
    lmdeploy,
    mlx_lm,
    peft,
    registries,
    sglang,
    syntax,
    torch,
    transformers,
    vllm,
)
from tools.harvest.archive import read_package
from tools.harvest.facts import Facts, Project, facts_from
from tools.harvest.rule_files import write_if_new

_PROJECTS = (vllm, sglang, lmdeploy, exllama, mlx_lm, transformers, peft, torch, llama_cpp)
_READERS = (archive, registries, syntax, *_PROJECTS)
PROJECTS: Mapping[str, Project] = {module.PROJECT.name: module.PROJECT for module in _PROJECTS}


def project_of(name: str) -> Project:
    """The project of a name; raises BadSetting with the names there are."""
    if name not in PROJECTS:
        raise BadSetting(f"{name!r} cannot be harvested", hint=f"one of {', '.join(PROJECTS)}")
    return PROJECTS[name]


def read_release(project: Project, version: str, cache: Path) -> Facts:
    """The facts of one release, from the cache or the index.

    Raises BadSetting for what is no version, ReachError, BadArchive or BadSource.
    """
    if not re.fullmatch(r"[0-9]+(?:\.[0-9]+)*(?:\.?(?:post|rc|a|b|dev)[0-9]+)?", version):
        raise BadSetting(f"{version!r} is not a version", hint=f"pip index versions {project.name}")
    if not project.wanted:
        text = fetch.metadata(project.name, version, cache)
        return Facts(project=project.name, version=version, tables=project.read({"METADATA": text}))
    package = fetch.source_package(project.name, version, cache)
    known = cache / "facts" / f"{project.name}-{version}-{_state(package)}.json"
    if known.exists():
        return facts_from(json.loads(known.read_text("utf-8")))
    files = read_package(package, project.wanted)
    facts = Facts(project=project.name, version=version, tables=project.read(files))
    write_if_new(known, json.dumps(asdict(facts)))
    return facts


def _state(package: Path) -> str:
    """What the facts of a package depend on: its size, and the code that reads it."""
    digest = hashlib.sha256(str(package.stat().st_size).encode())
    for module in _READERS:
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:16]
