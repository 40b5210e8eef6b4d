"""Reads released packages and writes what they say into the catalog. See docs/reference/harvest.md.

python -m tools.harvest                          # every project and release of versions.toml
python -m tools.harvest vllm sglang              # these projects
python -m tools.harvest --diff vllm 0.13.0 0.14.0   # two releases as release notes; writes nothing
python -m tools.harvest --show vllm 0.33.0       # what one release says, as JSON; writes nothing
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

from plimsoll.catalog import index
from plimsoll.catalog.lint_rules import read_all
from plimsoll.catalog.releases import Releases, releases_from
from plimsoll.errors import BadSetting, PlimsollError
from tools.harvest import fetch, rule_files
from tools.harvest.facts import Facts, Project
from tools.harvest.projects import PROJECTS, project_of, read_release
from tools.harvest.ranges import Made, beside, compressed
from tools.harvest.report import notes
from tools.harvest.statements import Statement, statements

CATALOG = Path(__file__).parents[2] / "src" / "plimsoll" / "catalog"
VERSIONS = Path(__file__).with_name("versions.toml")


def harvest(
    project: Project, read: Sequence[Facts], catalog: Path, today: date, found: Sequence[str] = ()
) -> tuple[list[Path], list[str]]:
    """Write the rules, sources and the release list of one project; what changed, and what was left out.

    `found` are releases that the index lists, for the release list. Files made by hand stay as they are.
    """
    changed = rule_files.write_releases(catalog, project.runtime, found, today) if found else []
    made, left_out = rules_of(project, read, catalog)
    named = {version for rule in made for version, _ in (rule.first, rule.last)}
    releases = _releases(project, catalog)
    source_of = {
        version: source_id(project, facts)
        for facts in read
        if (version := _release_of(facts, releases)) in named
    }
    changed += rule_files.write_rules(catalog, project, made, source_of, today)
    return changed + rule_files.write_sources(catalog, project, source_of, today), left_out


def rules_of(project: Project, read: Sequence[Facts], catalog: Path) -> tuple[list[Made], list[str]]:
    """The rules that the releases of a project make beside those by hand, and what was left out."""
    words = tomllib.loads((catalog / "rules" / "vocabulary.toml").read_text("utf-8"))
    releases = {project.runtime: _releases(project, catalog)}
    stated: dict[str, dict[Statement, str]] = {}
    for facts in read:
        version = _release_of(facts, releases[project.runtime])
        if version:
            stated[version] = dict(statements(facts, read, words))
    hand = [rule for rule in read_all(catalog) if rule.origin == "hand" and rule.runtime == project.runtime]
    kept, left_out = beside(stated, hand, project.runtime, words, releases)
    return compressed(kept), left_out


def _releases(project: Project, catalog: Path) -> Releases:
    path = catalog / "runtimes" / f"{project.runtime}.toml"
    return releases_from(tomllib.loads(path.read_text("utf-8")), path.name)


def _release_of(facts: Facts, releases: Releases) -> str:
    """The release that the facts are about, as rules name it.

    llama.cpp numbers its builds, which a package of it does not tell: the newest build of the list was
    read at the commit that its source is named for; at any other commit there is no number, and no rule.
    """
    if releases.scheme == "versions":
        return facts.version
    commit = facts.table("commit").get("llama.cpp")
    known = commit is not None and f"llama.cpp-{commit.value}" in releases.sources
    return releases.newest if known else ""


def source_id(project: Project, facts: Facts) -> str:
    """The id of the source file of a release."""
    if "commit" in facts.tables:
        return f"llama.cpp-{facts.table('commit')['llama.cpp'].value}"
    return f"{project.name}-{facts.version}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0, or the exit code of the error that was printed."""
    asked = _parser().parse_args(arguments)
    try:
        if asked.diff:
            name, old, new = asked.diff
            facts = [read_release(project_of(name), version, asked.cache) for version in (old, new)]
            print("\n".join(notes(*facts)))
        elif asked.show:
            name, version = asked.show
            print(json.dumps(asdict(read_release(project_of(name), version, asked.cache)), indent=1))
        else:
            _harvest_all(asked)
    except PlimsollError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.harvest", description="Rules from released packages."
    )
    parser.add_argument(
        "projects", nargs="*", metavar="PROJECT", help=f"one of {', '.join(PROJECTS)}; all by default"
    )
    parser.add_argument(
        "--diff", nargs=3, metavar=("PROJECT", "OLD", "NEW"), help="two releases as release notes"
    )
    parser.add_argument(
        "--show", nargs=2, metavar=("PROJECT", "VERSION"), help="what one release says, as JSON"
    )
    parser.add_argument("--cache", type=Path, default=fetch.default_cache(), help="where packages are kept")
    parser.add_argument("--offline", action="store_true", help="only what is in the cache; no release lists")
    return parser


def _harvest_all(asked: argparse.Namespace) -> None:
    versions: Mapping[str, list[str]] = tomllib.loads(VERSIONS.read_text("utf-8"))
    changed: list[Path] = []
    for project in [project_of(name) for name in asked.projects or versions]:
        if project.name not in versions:
            raise BadSetting(f"{VERSIONS.name} lists no release of {project.name}")
        read = []
        for version in versions[project.name]:
            print(f"{project.name} {version}", file=sys.stderr)
            read.append(read_release(project, version, asked.cache))
        found = (
            [] if asked.offline or project.runtime == "llama_cpp" else fetch.released_versions(project.name)
        )
        new, left_out = harvest(project, read, CATALOG, date.today(), found)
        changed += new
        for line in left_out:
            print(f"left to a rule by hand: {line}", file=sys.stderr)
    if changed:
        index.main()
    for path in changed:
        print(path.relative_to(CATALOG))


if __name__ == "__main__":
    raise SystemExit(main())
