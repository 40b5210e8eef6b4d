"""Checks every fact file: `python -m plimsoll.catalog.lint [folder]` prints findings, exit code 1 if any."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from plimsoll.catalog import (
    acceptance,
    config_keys,
    csv_rows,
    devices,
    lint_candidates,
    lint_failures,
    lint_rules,
    lint_sources,
    lint_stores,
    models,
    quality,
    releases,
)  # fmt: skip
from plimsoll.catalog.index import (
    architecture_index,
    config_key_index,
    device_index,
    device_records,
    failure_index,
    model_index,
    rule_index,
    runtime_index,
    source_index,
    stack_index,
    stray_rules,
    ui_index,
    written,
)
from plimsoll.catalog.lint_prices import problems
from plimsoll.catalog.names import name_key
from plimsoll.domain.config_key import Change, KeyFacts, MetadataType, Scope
from plimsoll.domain.quality import METRICS, ModelKind
from plimsoll.errors import CatalogError

CATALOG = Path(__file__).parent

# Runtimes that a config key may have a flag of its own in; Ollama is llama.cpp behind a Modelfile.
RUNTIMES = ("llama_cpp", "vllm", "sglang", "transformers", "ollama")

# Sane ranges, inclusive: outside them a unit or a digit is wrong.
_RANGES: dict[str, tuple[float, float]] = {
    "memory.bytes": (2 * 1024**3, 2 * 1024**4), "memory.nominal_bytes": (2 * 1024**3, 2 * 1024**4),
    "memory.bandwidth_bytes_per_s": (20e9, 40e12), "memory.measured_bandwidth_bytes_per_s": (20e9, 40e12),
    "memory.bus_bits": (32, 16384), "power_limit_watts": (5, 3000), "l2_bytes": (2**17, 2**30),
    "link_bytes_per_s": (20e9, 10e12), "cores_count": (1, 512), "cpu.memory_channels_count": (1, 24),
    "cpu.memory_mt_per_s": (1600, 16000), "cpu.sockets_max_count": (1, 16),
    "unified.default_share": (0.1, 1.0), "unified.raised_share": (0.1, 1.0),
    "published.parameters_count": (1e7, 1e13), "checkpoint.size_gib": (0.01, 1e4),
}  # fmt: skip
_FLOPS_RANGE = (1e11, 1e17)
_QUALITY_RANGES: dict[str, tuple[float, float]] = {
    "mean_kld_nats": (0, 20), "median_kld_nats": (0, 20), "ppl_ratio": (0.8, 1e6),
    "same_top_percent": (0, 100), "score_percent": (0, 130), "bits_per_weight": (1, 32),
    "parameters_count": (1e7, 1e13),
}  # fmt: skip
# Facts about a device that need no source of their own: names, and what we say about the record.
_UNSOURCED = {
    "id", "name", "vendor", "kind", "segment", "status", "architecture", "backend", "aliases", "notes",
    "shared_aliases", "is_verified", "is_flops_verified", "flops_method", "devices_per_board_count",
    "link_kind", "memory_basis", "memory_default_bytes",
}  # fmt: skip
_PER_LAYER = ("layer_types", "mlp_layer_types", "indexer_types", "attn_type_list", "hybrid_layer_pattern")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One parsed fact file; `path` is relative to the catalog folder, `sources` the day each was opened."""

    path: str
    data: Mapping[str, Any]
    sources: Mapping[str, str] = field(default_factory=dict)


Check = Callable[[Entry], Iterator[str]]


def lint(catalog: Path = CATALOG) -> list[str]:
    """All findings as 'file: what is wrong', in the order of the files."""
    source_files = sorted((catalog / "sources").glob("*.toml"))
    known = lint_sources.days(source_files)
    findings: list[str] = []
    is_readable = True
    for path in [
        *source_files,
        *sorted((catalog / "config_keys").glob("*.toml")),
        *sorted((catalog / "devices").glob("*/*.toml")),
        *sorted((catalog / "models").glob("*/*.json")),
        *sorted(p for p in (catalog / "quality").glob("*.csv") if p.name != quality.BITS_FILE),
        *sorted((catalog / "prices").glob("*.csv")),
        *sorted((catalog / "acceptance").glob("*.csv")),
        *sorted((catalog / "runtimes").glob("*.toml")),
        *sorted((catalog / "rules").glob("*/*.toml")),
        *sorted((catalog / "stacks").glob("*.toml")),
        *sorted((catalog / "uis").glob("*.toml")),
        *sorted((catalog / "failures").glob("*.toml")),
    ]:
        entry, problem = _parse(path, catalog, known)
        if entry is None:
            findings.append(problem)
            is_readable = False
            continue
        folder = entry.path.partition("/")[0]
        findings += [f"{entry.path}: {found}" for check in CHECKS[folder] for found in check(entry)]
    if not is_readable:
        return findings
    return (
        findings
        + lint_collisions(catalog)
        + lint_rules.lint(catalog)
        + lint_failures.lint(catalog)
        + lint_candidates.problems(catalog)
        + lint_stores.lint(catalog)
        + lint_index(catalog)
    )


def _parse(path: Path, catalog: Path, known: Mapping[str, str]) -> tuple[Entry | None, str]:
    shown = path.relative_to(catalog).as_posix()
    try:
        data = read(path)
    except (ValueError, RecursionError, CatalogError) as error:
        return None, f"{shown}: cannot be read: {error}"
    if not isinstance(data, dict):
        return None, f"{shown}: is not a table"
    return Entry(path=shown, data=data, sources=known), ""


def read(path: Path) -> Any:
    """A fact file as nested tables; the rows of a .csv are under 'rows'."""
    if path.suffix == ".csv":
        return {"rows": csv_rows.read(str(path))}
    text = path.read_text("utf-8")
    return json.loads(text) if path.suffix == ".json" else tomllib.loads(text)


def check_id_is_path(entry: Entry) -> Iterator[str]:
    """The id is the path without folder and ending; a device's folder is its vendor."""
    folder, _, rest = entry.path.partition("/")
    path_id = rest.rpartition(".")[0]
    if folder == "devices":
        vendor, _, path_id = path_id.partition("/")
        if entry.data.get("vendor") != vendor:
            yield f"vendor is {entry.data.get('vendor')!r}, the folder is {vendor!r}"
    if entry.data.get("id") != path_id:
        yield f"id is {entry.data.get('id')!r}, the path says {path_id!r}"


def check_loads(entry: Entry) -> Iterator[str]:
    """The loader accepts the file: no unknown key, none missing."""
    read = devices.record_from if entry.path.startswith("devices/") else models.record_from
    try:
        read(entry.data, entry.path)
    except CatalogError as error:
        yield error.message.partition(": ")[2] or error.message


def check_config_keys(entry: Entry) -> Iterator[str]:
    """A group loads, its words are those of the domain, and each effect is said or computed."""
    try:
        group = config_keys.group_from(entry.data, entry.path)
    except CatalogError as error:
        yield error.message.partition(": ")[2]
        return
    if set(entry.data) != {"scope", "sources", "keys"}:
        yield f"keys are {sorted(entry.data)}, wanted keys, scope, sources"
    seen: set[tuple[str, str]] = set()
    for facts in group:
        yield from (f"{facts.key}: {found}" for found in _key_problems(facts))
        for name in (facts.key, *facts.aliases):
            if (facts.scope, name) in seen:
                yield f"{name} is given twice"
            seen.add((facts.scope, name))


def _key_problems(facts: KeyFacts) -> Iterator[str]:
    for name, allowed in (("change", Change), ("scope", Scope)):
        if getattr(facts, name) not in get_args(allowed):
            yield f"{name} is {getattr(facts, name)!r}, not one of {', '.join(get_args(allowed))}"
    if facts.llama_cpp_type not in ("", *get_args(MetadataType)) or bool(facts.llama_cpp) != bool(
        facts.llama_cpp_type
    ):
        yield "llama_cpp and llama_cpp_type go together"
    for name in ("means", "memory", "speed", "quality"):
        text = getattr(facts, name)
        if text and not text.endswith("."):
            yield f"{name} is not a sentence"
    if not facts.means or not facts.because:
        yield "means and because must be said"
    if unknown := {name for name, _ in facts.flags} - set(RUNTIMES):
        yield f"flags for unknown runtimes: {', '.join(sorted(unknown))}"


def check_device_sourced(entry: Entry) -> Iterator[str]:
    """Each fact about a device has a source, and no source is for a fact that is not there."""
    flat: set[str] = set()
    for key, value in entry.data.items():
        if key == "memory":
            flat |= {f"memory_{inner}".replace("memory_bandwidth", "bandwidth") for inner in value}
        elif key != "sources":
            flat.add(key)
    flat = {key.replace("memory_measured_bandwidth", "measured_bandwidth") for key in flat}
    sourced = set(entry.data.get("sources", {}))
    yield from (f"{key} has no source" for key in sorted(flat - sourced - _UNSOURCED))
    yield from (f"a source is given for {key}, which is not in the file" for key in sorted(sourced - flat))
    empty = (key for key, value in entry.data.get("sources", {}).items() if not value)
    yield from (f"the list of sources of {key} is empty" for key in empty)


def check_model_sourced(entry: Entry) -> Iterator[str]:
    """A model names where its config was read, and has at least one source."""
    if not entry.data.get("sources"):
        yield "there is no source"
    if not entry.data.get("config_from"):
        yield "config_from is empty"
    origin = str(entry.data.get("config_from", ""))
    if origin.startswith("sibling ") and not entry.data.get("base_model"):
        yield "config_from is a sibling, base_model does not name it"


def check_ranges(entry: Entry) -> Iterator[str]:
    """Numbers are in the range their unit allows."""
    for name, (low, high) in _RANGES.items():
        value: Any = entry.data
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None and not (_is_number(value) and low <= value <= high):
            yield f"{name} is {value}, outside {low:g} to {high:g}"
    for table in ("flops_per_s", "measured_flops_per_s"):
        for kind, value in entry.data.get(table, {}).items():
            if not (_is_number(value) and _FLOPS_RANGE[0] <= value <= _FLOPS_RANGE[1]):
                yield f"{table}.{kind} is {value}, outside {_FLOPS_RANGE[0]:g} to {_FLOPS_RANGE[1]:g}"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_memory_order(entry: Entry) -> Iterator[str]:
    """The driver shows no more memory than the box says; measured bandwidth is below the theoretical."""
    memory = entry.data.get("memory", {})
    shown, nominal = memory.get("bytes"), memory.get("nominal_bytes")
    if shown and nominal and shown > nominal:
        yield f"the driver shows {shown} bytes, more than the {nominal} on the box"
    if shown and nominal and shown < 0.85 * nominal:
        yield f"the driver shows {shown} bytes, less than 85 % of the {nominal} on the box"
    if shown and "basis" not in memory:
        yield "memory.bytes needs memory.basis"
    measured, theory = memory.get("measured_bandwidth_bytes_per_s"), memory.get("bandwidth_bytes_per_s")
    if measured and theory and measured > theory:
        yield f"measured bandwidth {measured} is above the theoretical {theory}"


def check_flops_order(entry: Entry) -> Iterator[str]:
    """A smaller format is never slower; accumulating in FP16 is never slower than in FP32."""
    rates = entry.data.get("flops_per_s", {})
    for slow, fast in (("fp16", "fp8"), ("fp8", "fp4"), ("fp16", "fp16_acc16"), ("fp8", "fp8_acc16")):
        if slow in rates and fast in rates and rates[fast] < rates[slow]:
            yield f"{fast} is slower than {slow}"


def check_config(entry: Entry) -> Iterator[str]:
    """A config names its model_type and holds no shortened value."""
    config = entry.data.get("config", {})
    if not isinstance(config, Mapping) or not config.get("model_type"):
        yield "config has no model_type"
        return
    yield from shortened(config, "config")


def shortened(value: Any, where: str) -> Iterator[str]:
    """Places where a research note stands instead of the value ('<list of 283>', '..._summary')."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if str(key).endswith("_summary") or str(key) == "list_len":
                yield f"{where}.{key} is a summary"
            yield from shortened(inner, f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from shortened(inner, where)
    elif isinstance(value, str) and (value.startswith("<list of") or value.endswith(("...", "…"))):
        yield f"{where} is shortened: {value[:40]!r}"


def check_layer_lists(entry: Entry) -> Iterator[str]:
    """A list with one value per layer has as many values as there are layers, MTP layers told or not."""
    config = entry.data.get("config", {})
    for part in (config, config.get("text_config", {})):
        count = part.get("num_hidden_layers")
        with_mtp = (count or 0) + (part.get("num_nextn_predict_layers") or 0)
        for key in _PER_LAYER:
            if count and isinstance(part.get(key), list) and len(part[key]) not in (count, with_mtp):
                yield f"{key} has {len(part[key])} values for {count} layers"


def check_quality_loads(entry: Entry) -> Iterator[str]:
    """Every row has the columns of the header's nouns, and numbers where numbers belong."""
    for number, row in enumerate(entry.data["rows"], start=2):
        try:
            quality.row_from(row, f"line {number}")
        except CatalogError as error:
            yield error.message


def check_quality_rows(entry: Entry) -> Iterator[str]:
    """Words are those of the domain, numbers in range, no measurement twice; a cache is compared alone."""
    seen: dict[tuple[str, ...], int] = {}
    for number, row in enumerate(entry.data["rows"], start=2):
        yield from (f"line {number}: {found}" for found in _quality_problems(row))
        facts = tuple(row[name] for name in quality.COLUMNS if name not in ("error", "published_on"))
        if facts in seen:
            yield f"line {number}: the same as line {seen[facts]}"
        seen[facts] = number


def _quality_problems(row: Mapping[str, str]) -> Iterator[str]:
    for name, allowed in (
        ("metric", METRICS),
        ("kind", get_args(ModelKind)),
        ("importance_matrix", ("", "yes", "no")),
    ):
        if row[name] not in allowed:
            yield f"{name} is {row[name]!r}, not one of {', '.join(filter(None, allowed))}"
    for name in ("model", "weight_format", "reference_format", "runtime", "dataset"):
        if not row[name]:
            yield f"{name} is empty"
    if bool(row["benchmark"]) != (row["metric"] == "score_percent"):
        yield "benchmark is told for score_percent and for nothing else"
    if row["kv_format_k"] and row["reference_format"] != row["weight_format"]:
        yield "a quantised cache is compared with the same weights"
    for name in ("value", "bits_per_weight", "parameters_count"):
        low, high = _QUALITY_RANGES.get(row["metric"] if name == "value" else name, (0, 1e6))
        if row[name] and not low <= float(row[name]) <= high:
            yield f"{name} is {row[name]}, outside {low:g} to {high:g}"


def check_quality_sources(entry: Entry) -> Iterator[str]:
    """Every row's source has its file."""
    for reference in sorted({str(row["source"]) for row in entry.data["rows"]}):
        if reference.partition("#")[0] not in entry.sources:
            yield f"source {reference!r} has no file in sources/"


def check_acceptance(entry: Entry) -> Iterator[str]:
    """Each figure loads: known method, a source, no more accepted than drafted, a target of the catalog."""
    known = set(models.load_index()["ids"])
    for line, row in enumerate(entry.data["rows"], start=2):
        try:
            found = acceptance.row_from(row, line)
        except CatalogError as error:
            yield error.message.removeprefix("acceptance.csv ")
            continue
        if found.target not in known:
            yield f"line {line}: target {found.target!r} is not in the catalog"


def check_prices(entry: Entry) -> Iterator[str]:
    """Each price names a known device, its currency, unit, date and source, and is of a sane size."""
    yield from problems(entry.data["rows"], devices.load_index()["ids"])


def lint_collisions(catalog: Path) -> list[str]:
    """No own name or alias may mean two records; names that may are in `shared_aliases`."""
    found: list[str] = []
    own: dict[str, set[str]] = {}
    for path in sorted((catalog / "devices").glob("*/*.toml")):
        data = tomllib.loads(path.read_text("utf-8"))
        for name in (data.get("id", ""), data.get("name", ""), *data.get("aliases", ())):
            own.setdefault(devices.device_key(str(name)), set()).add(path.stem)
    found += [f"devices: {key!r} means {', '.join(sorted(ids))}" for key, ids in own.items() if len(ids) > 1]
    names: dict[str, set[str]] = {}
    exact = {name_key(path.stem): path for path in sorted((catalog / "models").glob("*/*.json"))}
    for path in exact.values():
        for alias in json.loads(path.read_text("utf-8")).get("aliases", ()):
            names.setdefault(name_key(alias), set()).add(path.stem)
            if exact.get(name_key(alias), path) != path:
                found.append(f"models: the alias {alias!r} of {path.stem} is the name of another model")
    return found + [f"models: {k!r} means {', '.join(sorted(v))}" for k, v in names.items() if len(v) > 1]


def lint_index(catalog: Path) -> list[str]:
    """The generated index files are those that the fact files give."""
    fresh = {
        "config_keys/index.json": config_key_index(catalog / "config_keys"),
        "devices/index.json": written(device_index(catalog / "devices")),
        "devices/records.jsonl": device_records(catalog / "devices"),
        "sources/index.json": source_index(catalog / "sources"),
        "models/architectures.json": written(architecture_index(catalog / "models")),
        "models/index.json": written(model_index(catalog / "models")),
    }
    try:
        fresh["runtimes/index.json"] = runtime_index(catalog / "runtimes")
        fresh["uis/index.json"] = ui_index(catalog / "uis")
        fresh["stacks/index.json"] = stack_index(catalog / "stacks")
        of_rules = rule_index(catalog / "rules")
        fresh |= {f"rules/{name}": text for name, text in of_rules.items()}
        fresh |= {path.relative_to(catalog).as_posix(): "" for path in stray_rules(catalog, of_rules)}
        fresh["failures/index.json"] = failure_index(catalog / "failures")
    except CatalogError:
        return []  # said already, file by file
    return [
        f"{name} is stale: run python -m plimsoll.catalog.index"
        for name, text in fresh.items()
        if not (catalog / name).exists() or (catalog / name).read_text("utf-8") != text
    ]


def check_runtime_loads(entry: Entry) -> Iterator[str]:
    """A release list has all keys, is in order, and says when it was read and where."""
    try:
        read = releases.releases_from(entry.data, entry.path)
    except CatalogError as error:
        yield error.message.partition(": ")[2]
        return
    if not read.versions or not read.sources or not read.checked_on:
        yield "versions, sources and checked_on must be given"
    if read.scheme == "versions":
        keys = [releases.version_key(version) for version in read.versions]
        yield from (
            f"{after} does not come after {before}"
            for before, after, i in zip(read.versions, read.versions[1:], range(len(keys)), strict=False)
            if keys[i] >= keys[i + 1]
        )


_EXIST = lint_sources.check_sources_exist
_OPENED = lint_sources.check_sources_opened
CHECKS: dict[str, tuple[Check, ...]] = {
    "config_keys": (check_config_keys, _EXIST),
    "sources": (check_id_is_path, lint_sources.check_source_file),
    "runtimes": (check_id_is_path, check_runtime_loads, _EXIST, _OPENED),
    "rules": (lint_rules.check_rule_file, _EXIST, _OPENED),
    "stacks": (lint_rules.check_stack_file, _EXIST, _OPENED),
    "uis": (check_id_is_path, lint_rules.check_ui_file, _EXIST, _OPENED),
    "failures": (lint_failures.check_failure_file,),
    "devices": (
        check_id_is_path, check_loads, _EXIST, check_device_sourced, check_ranges,
        check_memory_order, check_flops_order,
    ),
    "models": (
        check_id_is_path, check_loads, _EXIST, check_model_sourced, check_ranges, check_config,
        check_layer_lists,
    ),
    "quality": (check_quality_loads, check_quality_rows, check_quality_sources),
    "prices": (check_prices,),
    "acceptance": (check_acceptance,),
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Print all findings; 0 when there are none."""
    findings = lint(Path(arguments[0])) if arguments else lint()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings", file=sys.stderr)
    return 1 if findings else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
