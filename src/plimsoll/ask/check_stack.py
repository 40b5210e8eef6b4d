"""What a release of a runtime is built on, which drivers it needs, and what is installed here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from plimsoll import __version__
from plimsoll.ask import check as single
from plimsoll.catalog import releases as release_lists
from plimsoll.catalog import sources, stacks
from plimsoll.catalog.releases import Releases
from plimsoll.core import check as core
from plimsoll.domain.check_tables import StackAnswer, StackFact
from plimsoll.domain.machine import Machine
from plimsoll.domain.rule import Situation, Verdict
from plimsoll.errors import UsageError

# Drivers worth asking about: the branches that the floors of CUDA 11, 12 and 13 separate.
_DRIVERS = ((450, 999), (525, 999), (570, 999), (580, 999), (595, 999))


@dataclass(frozen=True, slots=True, kw_only=True)
class StackQuestion:
    """What was asked, as typed; without `on` it is about this machine, and what is installed is read."""

    runtime: str
    on: str | None = None
    driver: str = ""
    cuda: str = ""


def stack(question: StackQuestion) -> StackAnswer:
    """The chain of a release, its verdict with this driver and CUDA, and a line that installs it."""
    name, _, version = question.runtime.partition("==")
    if not name:
        raise UsageError("no runtime is named", hint="plimsoll check --stack vllm==0.33")
    releases = release_lists.find(name)
    release = release_lists.release_of(releases, version)
    found = stacks.find(releases.id, release.version)
    notes = [release.note] if release.note else []
    machine, more = single.machine_of(question.on)
    hardware, _ = single.hardware_of(machine, "")
    notes += more
    driver = machine.driver
    cuda = question.cuda or (found.cuda if found else "")
    asked = Situation(
        runtime=releases.id, release=release.place, hardware=hardware, backend="cuda",
        driver=single.driver_of(question.driver or driver), cuda=single.dotted(cuda, "--cuda"),
    )  # fmt: skip
    verdict = core.verdict(single.known_rules(), asked, "stack")
    if found is None:
        notes.append(f"what {releases.name} {release.version} is built on was not read")
    return StackAnswer(
        question="check --stack", runtime=releases.name, version=release.version, machine=machine.name,
        outcome=verdict.outcome, verdict=verdict, breaks=_breaks(asked),
        facts=_facts(found, cuda, asked, machine if question.on is None else None),
        install=_install(releases, release.version, found, cuda),
        notes=tuple((*notes, *(found.notes if found else ()))),
        sources=sources.load_all(dict.fromkeys((*verdict.sources, *(found.sources if found else ())))),
        versions={"plimsoll": __version__, releases.name: release.version},
    )  # fmt: skip


def _facts(
    found: stacks.Stack | None, cuda: str, asked: Situation, here: Machine | None
) -> tuple[StackFact, ...]:
    """The chain as rows: what is wanted, and for this machine what is installed and whether it differs."""
    if found is None:
        return ()
    floor = _driver_floor(asked) if cuda else ""
    wanted = {
        "Python": found.python, "CUDA runtime": cuda, "NVIDIA driver": f">={floor}" if floor else "",
        **found.pins, "container image": found.container,
    }  # fmt: skip
    installed = _installed(found.pins, here) if here else {}
    rows = []
    for name, pin in wanted.items():
        has = installed.get(name, "")
        met = release_lists.meets(has, pin) if has else None
        differs = None if met is None else not met
        rows.append(StackFact(name=name, wanted=pin, installed=has, differs=differs))
    return tuple(row for row in rows if row.wanted)


def _driver_floor(asked: Situation) -> str:
    """The oldest driver at which some rule begins and from which the chain holds; '' when none is known."""
    rules = single.known_rules().about(asked.runtime, "stack")
    edges = sorted({rule.driver.low for rule in rules if rule.driver.low is not None})
    found = next((edge for edge in edges if core.works(_with(asked, edge).outcome)), None)
    return ".".join([str(found[0]), *(f"{part:02d}" for part in found[1:])]) if found else ""


def _installed(pins: Mapping[str, str], here: Machine) -> dict[str, str]:
    """Versions of the driver and of the pinned packages in the Python this runs in."""
    from importlib.metadata import PackageNotFoundError, version
    from platform import python_version

    found = {"Python": python_version(), "NVIDIA driver": here.driver, "CUDA runtime": here.cuda}
    for name in pins:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _with(asked: Situation, driver: tuple[int, ...]) -> Verdict:
    return core.verdict(single.known_rules(), replace(asked, driver=driver), "stack")


def _breaks(asked: Situation) -> tuple[str, ...]:
    """What each driver branch, and each CUDA the wheel could be for, would break."""
    said = []
    if asked.cuda is not None:
        for driver in _DRIVERS:
            made = _with(asked, driver)
            if made.outcome == "unsupported":
                said.append(f"driver {driver[0]}: {made.note}")
    for cuda in ((12, 6), (12, 8), (12, 9), (13, 0)):
        made = core.verdict(single.known_rules(), replace(asked, cuda=cuda, driver=None), "stack")
        if made.outcome == "unsupported":
            said.append(f"CUDA {cuda[0]}.{cuda[1]}: {made.note}")
    return tuple(said)


def _install(releases: Releases, version: str, found: stacks.Stack | None, cuda: str) -> tuple[str, ...]:
    """Lines of a requirements file that pin the release and what it is pinned to."""
    package = {"mlx": "mlx-lm", "exllama": "exllamav3", "tensorrt_llm": "tensorrt-llm"}.get(
        releases.id, releases.id
    )
    if found is None:
        return ()
    lines = [f"{package}=={version}"]
    lines += [f"{name}{pin}" for name, pin in found.pins.items() if name != package]
    if cuda and found.cuda and cuda != found.cuda:
        tag = "cu" + "".join(cuda.split(".")[:2])
        lines.insert(
            0, f"# the default wheels are for CUDA {found.cuda}; for {cuda} use PyTorch's own index {tag}"
        )
    return tuple(lines)
