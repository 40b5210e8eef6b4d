"""What does it take to train this model on that machine: memory, time, disk, and may inference go on
meanwhile?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from plimsoll import __version__
from plimsoll.ask import machine as machines
from plimsoll.ask import models
from plimsoll.ask.fit import FitQuestion, deploy, spelled
from plimsoll.catalog import sources as catalog_sources
from plimsoll.catalog import training as catalog
from plimsoll.core import fit as fit_core
from plimsoll.core.training import memory
from plimsoll.core.training_config import CONFIGS, file_for
from plimsoll.core.training_disk import adapter_file_bytes, disk
from plimsoll.core.training_fit import Judged, changes, judge
from plimsoll.core.training_frameworks import FRAMEWORKS
from plimsoll.core.training_targets import attachment
from plimsoll.core.training_time import seconds
from plimsoll.domain.bill import Bill, Line
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.estimate import Estimate
from plimsoll.domain.machine import Machine
from plimsoll.domain.model import Model
from plimsoll.domain.training import (
    Attachment,
    Attention,
    Beside,
    Framework,
    Loss,
    Method,
    Optimizer,
    Sharding,
    TrainingAnswer,
    TrainingCoefficients,
    TrainingMemory,
    TrainingSetup,
)
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.formulas.weights import parameters_count
from plimsoll.runtimes import memory_of

_PAPERS = ("arxiv-2205.05198", "arxiv-2305.14314")
_CLAIMS = ("gpu_memory_utilization", "mem_fraction_static")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainQuestion:
    """What was asked, as typed. None, '' and 0 mean: choose, and say what was chosen.

    `beside` is a model that goes on answering on the same cards; '.' is the model itself.
    """

    model: str
    on: str | None = None
    tokens_count: int = 10_000_000
    method: Method = "lora"
    rank: int = 16
    alpha: float | None = None
    sequence_tokens: int = 2048
    longest_tokens: int = 0
    targets: tuple[str, ...] = ()
    optimizer: Optimizer = "adamw"
    batch: int = 1
    accumulate: int = 16
    epochs: float = 1.0
    is_checkpointed: bool = True
    attention: Attention = "flash"
    loss: Loss | None = None
    dtype: str = "bf16"
    base_bits: int | None = None
    dropout: float | None = None
    sharding: Sharding | None = None
    tensor_parallel: int = 1
    expert_parallel: int = 1
    pipeline_parallel: int = 1
    is_padded: bool = False
    framework: Framework = "trl"
    trains_towers: bool = False
    beside: str = ""
    beside_weights: str = ""
    beside_runtime: str = ""
    beside_context_tokens: int = 8192
    beside_sequences_count: int = 1
    configs: tuple[str, ...] = ()
    offline: bool = False


def train_plan(question: TrainQuestion) -> TrainingAnswer:
    """Answer a TrainQuestion; errors are typed, 'no' and 'unknown' are answers."""
    machine = machines.resolve(question.on)
    if not machine.devices:
        raise BadSetting("training is planned for cards, and this machine has none", hint="--on rtx-pro-6000")
    model = models.load(question.model, offline=question.offline)
    setup = setup_from(question, machine)
    learnt = catalog.load()
    found = attachment(model, setup.method, setup.targets, setup.rank, freezes_towers=setup.freezes_towers)
    deployment = _inference(question, machine) if question.beside else None
    plan = _planned(model, machine, setup, found, learnt, deployment)
    return _answer(question, model, machine, setup, found, learnt, deployment, plan)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    memory: TrainingMemory
    judged: Judged


def setup_from(question: TrainQuestion, machine: Machine) -> TrainingSetup:
    """The run that was asked for. Raises BadSetting for what does not go together."""
    rule = FRAMEWORKS[question.framework]
    bits = question.base_bits or (4 if question.method == "qlora" else 16)
    if question.method == "qlora" and bits == 16:
        raise BadSetting("QLoRA trains beside packed weights", hint="--method lora, or --bits 4")
    if question.method in ("full", "router-only") and bits < 16:
        raise BadSetting("packed weights cannot train themselves", hint="--method qlora, or leave --bits out")
    if not 0 < question.epochs <= 1000:
        raise BadSetting(f"{question.epochs} times through the data", hint="--epochs 3; up to 1000")
    count = len(machine.devices)
    sharding = question.sharding or ("ddp" if count > 1 and question.framework != "megatron" else "none")
    if question.framework == "megatron":
        sharding = "megatron"
    if count == 1 and sharding not in ("none", "megatron"):
        raise BadSetting(
            f"there is one card: nothing to share by {sharding}", hint="leave it out, or --on '2x ...'"
        )
    ways = question.tensor_parallel * question.pipeline_parallel
    if ways > 1 and question.framework != "megatron":
        raise BadSetting("--tp, --ep and --pp are Megatron's", hint="--framework megatron, or --zero 3")
    if count % ways or count % question.expert_parallel:
        raise BadSetting(
            f"{count} cards cannot be split {ways} ways with experts {question.expert_parallel} ways",
            hint="--tp x --pp divides the cards, and --ep, too",
        )
    if question.longest_tokens > question.sequence_tokens:
        raise BadSetting("--longest is more than --seq", hint=f"--seq {question.longest_tokens}")
    if question.dtype not in ("bf16", "fp16", "fp32"):
        raise BadSetting(
            f"there is no type {question.dtype!r} to train in",
            hint=choices_hint(question.dtype, ("bf16", "fp16", "fp32"), "--dtype"),
        )
    return TrainingSetup(
        method=question.method,
        framework=rule,
        rank=question.rank,
        alpha=question.alpha if question.alpha is not None else 2.0 * question.rank,
        targets=question.targets,
        optimizer=question.optimizer,
        batch=question.batch,
        accumulate=question.accumulate,
        sequence_tokens=question.sequence_tokens,
        longest_tokens=question.longest_tokens,
        is_checkpointed=question.is_checkpointed,
        attention=question.attention,
        loss=question.loss or rule.loss,
        value_bytes=4 if question.dtype == "fp32" else 2,
        base_bits=bits,
        dropout=rule.dropout if question.dropout is None else question.dropout,
        sharding=sharding,
        devices_count=count,
        tensor_parallel=question.tensor_parallel,
        expert_parallel=question.expert_parallel,
        pipeline_parallel=question.pipeline_parallel,
        is_padded=question.is_padded,
        freezes_towers=not question.trains_towers,
    )


def _inference(question: TrainQuestion, machine: Machine) -> Deployment:
    """The model that goes on answering, holding only what it needs of the cards."""
    name = question.model if question.beside == "." else question.beside
    asked = FitQuestion(
        models=(name,), on=question.on, runtime=question.beside_runtime, weights=question.beside_weights,
        context_tokens=question.beside_context_tokens, offline=question.offline,
        parallel_sequences_count=question.beside_sequences_count,
    )  # fmt: skip
    deployment, _ = deploy(models.load(name, offline=question.offline), machine, asked)
    defaults = memory_of(deployment.runtime.id).DEFAULTS
    return replace(deployment, settings={**deployment.settings, **{k: 1.0 for k in _CLAIMS if k in defaults}})


def _planned(
    model: Model, machine: Machine, setup: TrainingSetup, found: Attachment, learnt: TrainingCoefficients,
    deployment: Deployment | None,
) -> _Plan:  # fmt: skip
    """Training's lines on every card, inference's where they are."""
    devices = [d.id for d in machine.devices]
    first = memory(model, setup, found, devices[0], learnt)
    lines = [replace(line, device=device) for device in devices for line in first.lines]
    if deployment is not None:
        lines += _inference_lines(deployment)
    return _Plan(memory=first, judged=judge(machine, devices, lines))


def _inference_lines(deployment: Deployment) -> list[Line]:
    bill: Bill = fit_core.bill_of([deployment])
    return [
        replace(line, label=f"inference: {line.label}") for line in bill.lines if line.component != "reserved"
    ]


def _answer(
    question: TrainQuestion, model: Model, machine: Machine, setup: TrainingSetup, found: Attachment,
    learnt: TrainingCoefficients, deployment: Deployment | None, plan: _Plan,
) -> TrainingAnswer:  # fmt: skip
    tokens = round(question.tokens_count * question.epochs)
    time, unknowns = _time(model, machine, setup, found, tokens, learnt)
    per_step = setup.batch * setup.sequence_tokens * setup.accumulate * setup.data_parallel
    judged = plan.judged
    refused = found.refusal
    verdict = "does_not_fit" if refused else judged.verdict
    reason = refused or judged.reason
    remedies = _remedies(model, machine, setup, question, learnt, deployment) if verdict != "fits" else ()
    files = tuple(
        file_for(name, model, _as_told(setup, name), found, question.epochs)  # type: ignore[arg-type]
        for name in _configs(question)
        if not refused
    )
    return TrainingAnswer(
        question="train-plan", asked=_asked(question), verdict=verdict, reason=reason,
        missing_bytes=max(0, -judged.headroom_bytes), headroom_bytes=judged.headroom_bytes, model=model.id,
        machine=machine.name, setup=setup, attachment=found, trained_values_count=found.trained_values_count,
        parameters_count=parameters_count(model.tensors), bill=judged.bill, memory=plan.memory, time=time,
        steps_count=math.ceil(tokens / per_step), disk=disk(model, setup, found, tokens),
        adapter_file_bytes=adapter_file_bytes(found, setup),
        beside=_beside(question, machine, deployment, judged, plan), files=files, remedies=remedies,
        notes=_notes(model, setup, found, question) + _foreign(machine, setup), unknowns=unknowns,
        sources=(*catalog_sources.load_all((*setup.framework.sources, *_PAPERS)), *model.sources),
        versions={"plimsoll": __version__, setup.framework.name: setup.framework.version},
    )  # fmt: skip


def _as_told(setup: TrainingSetup, name: str) -> TrainingSetup:
    return replace(setup, framework=FRAMEWORKS[name])  # type: ignore[index]


def _configs(question: TrainQuestion) -> tuple[str, ...]:
    for name in question.configs:
        if name not in CONFIGS:
            raise BadSetting(
                f"there is no configuration for {name!r}", hint=choices_hint(name, CONFIGS, "--config")
            )
    return tuple(dict.fromkeys(question.configs))


def _asked(question: TrainQuestion) -> dict[str, object]:
    values = {f.name: getattr(question, f.name) for f in fields(question)}
    return {name: value for name, value in values.items() if value not in (None, "", (), 0, False)}


def _time(
    model: Model,
    machine: Machine,
    setup: TrainingSetup,
    found: Attachment,
    tokens: int,
    learnt: TrainingCoefficients,
) -> tuple[tuple[Estimate, ...], tuple[str, ...]]:
    rates = [d.flops_per_s.get("bf16") or d.flops_per_s.get("fp16") for d in machine.devices]
    if any(rate is None for rate in rates):
        return (), ("time: the catalog has no 16-bit operations per second of this card",)
    rate = min(r for r in rates if r is not None)
    return (seconds(model, setup, found, tokens, rate, learnt),), ()


def _beside(
    question: TrainQuestion, machine: Machine, deployment: Deployment | None, judged: Judged, plan: _Plan
) -> Beside | None:
    """Whether inference may stay, and how long a context it could have with what training leaves."""
    if deployment is None:
        return None
    lines = _inference_lines(deployment)
    training = [replace(x, device=d.id) for d in machine.devices for x in plan.memory.lines]
    devices = [d.id for d in machine.devices]

    def room(found: Sequence[Deployment]) -> int:
        if fit_core.problems_of(found):
            return -1
        return judge(machine, devices, [*training, *_inference_lines(found[0])]).headroom_bytes

    problems = fit_core.problems_of([deployment])
    weights = deployment.weight_format or deployment.model.weight_format
    return Beside(
        model=f"{deployment.model.id}, {weights} on {spelled(deployment.runtime.id)}",
        verdict="does_not_fit" if problems else judged.verdict,
        inference_bytes=sum(x.size_bytes for x in lines),
        left_bytes=judged.headroom_bytes,
        context_tokens=deployment.workload.context_tokens,
        sequences_count=deployment.workload.parallel_sequences_count,
        longest_context_tokens=fit_core.longest_context([deployment], room),
        reason="; ".join(problems),
    )


def _remedies(
    model: Model,
    machine: Machine,
    setup: TrainingSetup,
    question: TrainQuestion,
    learnt: TrainingCoefficients,
    deployment: Deployment | None,
) -> tuple[str, ...]:
    """Single changes that help: from "does not fit" to "tight" at least, from "tight" to "fits". Each is
    computed like the question itself."""
    now = _planned(
        model, machine, setup, attachment(model, setup.method, setup.targets, setup.rank), learnt, deployment
    )
    wanted = ("fits",) if now.judged.verdict == "tight" else ("fits", "tight")
    found = []
    for words, flags, values in changes(model, setup):
        changed = replace(setup, **values)  # type: ignore[arg-type]
        where = attachment(
            model, changed.method, changed.targets, changed.rank, freezes_towers=changed.freezes_towers
        )
        if where.refusal:
            continue
        judged = _planned(model, machine, changed, where, learnt, deployment).judged
        if judged.verdict in wanted:
            found.append(f"{words}: {flags} ({_word(judged)})")
    for weights, runtime in _lighter(question, deployment):
        try:
            lighter = _inference(replace(question, beside_weights=weights, beside_runtime=runtime), machine)
        except BadSetting:
            continue
        where = attachment(
            model, setup.method, setup.targets, setup.rank, freezes_towers=setup.freezes_towers
        )
        judged = _planned(model, machine, setup, where, learnt, lighter).judged
        if judged.verdict in wanted and not fit_core.problems_of([lighter]):
            found.append(
                f"answer from {weights} weights: --beside-weights {weights} --beside-runtime {runtime} "
                f"({_word(judged)})"
            )
    return tuple(found)


def _lighter(question: TrainQuestion, deployment: Deployment | None) -> tuple[tuple[str, str], ...]:
    """Lighter weights for the model that goes on answering."""
    if deployment is None:
        return ()
    return (("fp8", "vllm"), ("awq", "vllm"), ("q8_0", "llama.cpp"), ("q4_k_m", "llama.cpp"))


def _word(judged: Judged) -> str:
    from plimsoll.units import format_bytes

    return f"{judged.verdict}, {format_bytes(judged.headroom_bytes)} left"


def _notes(model: Model, setup: TrainingSetup, found: Attachment, question: TrainQuestion) -> tuple[str, ...]:
    notes = []
    has_experts = any(layer.experts_count for layer in model.layers)
    if has_experts and setup.base_bits < 16 and not setup.framework.quantises_experts:
        notes.append(
            f"{setup.framework.name} packs linear layers only: the stacks of experts stay in 16 bits "
            "(--framework axolotl or unsloth packs them, too)"
        )
    if setup.base_bits < 16 and setup.framework.raised != "none":
        notes.append(f"{setup.framework.name} raises what is not packed to f32")
    if any(p.experts_count for p in found.pairs):
        notes.append(
            "PEFT attaches to experts through target_parameters: each adapted stack is built as a whole, "
            "layer by layer, without dropout and DoRA"
        )
    if model.weight_format not in ("bf16", "f16", "fp16", "f32", "fp32") and setup.base_bits == 16:
        notes.append(
            f"the published {model.weight_format} weights are unpacked to 16 bits before they train or "
            "carry an adapter"
        )
    if question.beside:
        notes.append("both programs share the card's arithmetic: how much slower each becomes is not known")
    if setup.sharding in ("zero3", "fsdp") and setup.base_bits < 16:
        notes.append(
            "bitsandbytes' packed weights are shared out only with a floating bnb_4bit_quant_storage"
        )
    return tuple(notes)


def _foreign(machine: Machine, setup: TrainingSetup) -> tuple[str, ...]:
    """What is said of cards that nobody's rows are of."""
    if all(d.backend == "cuda" for d in machine.devices):
        return ()
    notes = ["what is held besides was learnt on NVIDIA cards; other cards may hold more"]
    if setup.base_bits < 16:
        notes.append("whether bitsandbytes packs weights on this card is not known here")
    return tuple(notes)


def write_files(answer: TrainingAnswer, folder: str) -> tuple[str, ...]:
    """Write the configurations into a new or empty folder. Raises BadSetting where one is in the way."""
    from plimsoll.edges.written import write_all

    return write_all(folder, {file.name: file.text for file in answer.files})


_METHODS: tuple[Method, ...] = ("lora", "qlora", "dora", "router-only", "full")
_RANKS = (8, 16, 32, 64, 128, 256)
_LENGTHS = (2048, 4096, 8192, 16384, 32768)


def _methods(model: Model) -> list[tuple[str, dict[str, object]]]:
    """Every method with its values; for models with experts also QLoRA that packs those, too."""
    found: list[tuple[str, dict[str, object]]] = [(m, {"method": m, "base_bits": None}) for m in _METHODS]
    if any(layer.experts_count for layer in model.layers):
        packed: dict[str, object] = {
            "method": "qlora",
            "base_bits": None,
            "framework": "axolotl",
            "loss": None,
        }
        found.insert(2, ("qlora, experts too", packed))
    return found


def draw(question: TrainQuestion, path: str) -> None:
    """Draw memory by method, by rank and by length of the sequences, all else as asked, into FILE.svg or
    .png."""
    from plimsoll.core.training_chart import chart, panel
    from plimsoll.edges import chart as charts

    machine = machines.resolve(question.on)
    device = machine.devices[0]
    learnt, model = catalog.load(), models.load(question.model, offline=question.offline)
    taken = 0
    if question.beside:
        lines = _inference_lines(_inference(question, machine))
        taken = sum(x.size_bytes for x in lines if x.device == device.id)

    def told(**values: object) -> TrainingMemory | None:
        asked = replace(question, **values)  # type: ignore[arg-type]
        setup = setup_from(asked, machine)
        found = attachment(
            model, setup.method, setup.targets, setup.rank, freezes_towers=setup.freezes_towers
        )
        return None if found.refusal else memory(model, setup, found, device.id, learnt)

    def bars(pairs: Sequence[tuple[str, dict[str, object]]]) -> list[tuple[str, TrainingMemory]]:
        found = [(name, told(**values)) for name, values in pairs]
        return [(name, got) for name, got in found if got is not None]

    rows: tuple[tuple[str, str, list[tuple[str, dict[str, object]]]], ...] = (
        ("by method", "", _methods(model)),
        ("by rank", "rank", [(str(r), {"rank": r}) for r in _RANKS]),
        (
            "by length",
            "tokens of a sequence",
            [(f"{n // 1024}k", {"sequence_tokens": n, "longest_tokens": 0}) for n in _LENGTHS],
        ),
    )
    capacity = device.memory_bytes - device.reserved_bytes
    panels = [
        panel(title, label, found, capacity, taken, has_legend=title == rows[0][0])
        for title, label, pairs in rows
        if (found := bars(pairs))
    ]
    what = f"{question.method}, rank {question.rank}, sequences of {question.sequence_tokens:,} tokens"
    charts.draw(chart(f"{model.id}: training on {machine.name}", what, panels), path)
