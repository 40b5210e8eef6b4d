"""What starts it: the exact command or files for a model, or for a choice of a saved plan."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path

from plimsoll.ask import fit as fits
from plimsoll.ask.speculation import Drafting, drafting_from, with_draft
from plimsoll.core.launch_container import NEWEST
from plimsoll.core.launch_shell import script_file
from plimsoll.domain.answer import Answer
from plimsoll.domain.deployment import Deployment
from plimsoll.domain.launch import (
    NO_DRAFT,
    NO_MODEL,
    NO_MODEL_ELSEWHERE,
    Command,
    LaunchAnswer,
    LaunchFile,
    LaunchFiles,
    LaunchParts,
    Serving,
)
from plimsoll.edges import local_file
from plimsoll.edges.paths import is_path
from plimsoll.errors import BadSetting, UnknownName, choices_hint
from plimsoll.parse import plan_file
from plimsoll.runtimes import launch_of
from plimsoll.units import format_bytes, format_count

COMMAND = "command"
# Target -> module of plimsoll.core. Each defines RUNTIMES (ids it is for; empty: all) and
# files(parts: LaunchParts) -> LaunchFiles, and may raise BadSetting.
TARGETS: dict[str, str] = {
    "preset": "launch_preset", "modelfile": "launch_modelfile", "lm-studio": "launch_lm_studio",
    "compose": "launch_compose", "kubernetes": "launch_kubernetes", "ray": "launch_ray",
    "systemd": "launch_systemd", "tabbyapi": "launch_tabbyapi", "trtllm": "launch_trtllm",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchQuestion:
    """A fit question with one model, and how it is to be served. Empty or 0 means: choose.

    `speculate` and `draft` are those of `ask.speed`: what drafts ('mtp:2', 'draft:4'), and which model does.
    `fingerprint` is what a saved plan said of this deployment; '' where none was saved.
    """

    fit: fits.FitQuestion
    target: str = COMMAND
    model_path: str = ""
    served_name: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    program: str = ""
    speculate: str = ""
    draft: str = ""
    draft_path: str = ""
    fingerprint: str = ""


def launch(question: LaunchQuestion) -> LaunchAnswer:
    """Judge the deployment as `fit` does, then say what starts it; 'no' and 'unknown' are answers.

    Raises what `fit` raises, and BadSetting for a name, port or target that cannot be.
    """
    _check(question)
    drafting = drafting_from(question.speculate, question.draft, None)
    fitted = fits.fit(with_draft(_with_own_layers(question.fit, drafting), drafting))
    if fitted.verdict == "does_not_fit":
        lacks = f"{format_bytes(fitted.missing_bytes)} are missing " if fitted.missing_bytes else ""
        return _answer(question, fitted, f"it does not fit: {lacks}{fitted.reason or 'see plimsoll fit'}")
    deployment = fitted.deployments[0]
    serving, missing = _serving(question, deployment)
    command: Command = launch_of(deployment.runtime.id).command(deployment, serving)
    if drafting is not None and drafting.draft:
        serving, command, more = _drafted(question, drafting, serving, command, fitted)
        missing = (*missing, *more)
    if question.program:
        command = replace(command, program=(question.program, *command.program[1:]))
    parts = LaunchParts(deployment=deployment, serving=serving, command=command, promise=fitted.bill)
    made = _files_of(question.target, deployment)(parts) if question.target != COMMAND else None
    notes = (
        *_changed(question, deployment),
        *_release(question, deployment),
        *command.notes,
        *(made.notes if made else ()),
    )
    return _answer(
        question,
        fitted,
        fitted.reason,
        command=command,
        made=made,
        notes=notes,
        unknowns=missing,
        serving=serving,
    )


def _with_own_layers(question: fits.FitQuestion, drafting: Drafting | None) -> fits.FitQuestion:
    """The question with the model's own drafting layers loaded, where that was asked for.

    Raises BadSetting where no bill holds what drafts: only vLLM's does for a model's own layers, and only
    llama.cpp's for a second model in the same process.
    """
    if drafting is None:
        return question
    runtime = fits.named_runtime(question.runtime)[0] if question.runtime else ""
    if not runtime and drafting.method != "eagle3":  # only one can
        runtime = "llama_cpp" if drafting.draft else "vllm"
        question = replace(question, runtime=fits.spelled(runtime))
    if drafting.method == "mtp" and runtime == "vllm":
        return replace(question, settings={**question.settings, "num_speculative_tokens": drafting.drafted})
    if drafting.draft and runtime == "llama_cpp":
        return question
    known = {"mtp": "vllm", "draft": "llama.cpp"}.get(drafting.method)
    if known is None:
        raise BadSetting(
            f"the bill does not hold heads of {drafting.method}, so no command with them is told",
            hint="--speculate mtp --runtime vllm, or --draft MODEL --runtime llama.cpp",
        )
    what = "a second model that drafts" if drafting.draft else "a model's own drafting layers"
    raise BadSetting(
        f"a command with {what} is told for {known} only: the bill of other runtimes does not hold them",
        hint=f"--runtime {known}",
    )


def _drafted(
    question: LaunchQuestion, drafting: Drafting, serving: Serving, command: Command, fitted: Answer
) -> tuple[Serving, Command, tuple[str, ...]]:
    """The command with a second model that drafts, where that lies, and what of it is not known."""
    from plimsoll.runtimes.llama_cpp.launch import draft_flags

    if question.target != COMMAND:
        raise BadSetting(
            f"files for {question.target} do not carry a draft model", hint="leave out --as or --draft"
        )
    draft = fitted.deployments[1]
    asked = replace(
        question, fit=replace(question.fit, models=(drafting.draft,)), model_path=question.draft_path
    )
    path, missing = _model_path(asked, draft)
    if missing:
        path, missing = (
            NO_DRAFT,
            (
                f"where the draft model lies: put it in place of {NO_DRAFT}, or type --draft-path PATH; "
                f"{_what(draft)}",
            ),
        )
    serving = replace(serving, draft_path=path)
    note = (
        "the bill counts a driver's context for each of the two models, the server makes one: it errs upwards"
    )
    return (
        serving,
        replace(
            command, flags=(*command.flags, *draft_flags(draft, serving, drafting.drafted)),
            notes=(*command.notes, *((note,) if draft.machine.devices else ())),
        ),
        missing,
    )  # fmt: skip


def _check(question: LaunchQuestion) -> None:
    if question.draft_path and not question.draft:
        raise BadSetting("--draft-path of which draft model?", hint="--draft MODEL")
    if len(question.fit.models) != 1:
        raise BadSetting("one model is launched at a time", hint="launch each with a port of its own")
    if question.target != COMMAND and question.target not in TARGETS:
        raise UnknownName(
            f"there is no target {question.target!r}", name=question.target,
            hint=choices_hint(question.target, (COMMAND, *TARGETS), "--as"),
        )  # fmt: skip
    if not 1 <= question.port <= 65535:
        raise BadSetting(f"{question.port} is not a port", hint="--port 1 to 65535")
    for name, text in (("--model-path", question.model_path), ("--name", question.served_name),
                       ("--host", question.host), ("--program", question.program),
                       ("--draft-path", question.draft_path)):  # fmt: skip
        if "\0" in text:
            raise BadSetting(f"{name} holds a zero byte, which no program can be given")
    if not question.host or question.host.startswith("-") or any(c.isspace() for c in question.host):
        raise BadSetting(f"{question.host!r} is not an address", hint="--host 127.0.0.1 or 0.0.0.0")


def _files_of(target: str, deployment: Deployment) -> Callable[[LaunchParts], LaunchFiles]:
    module = importlib.import_module(f"plimsoll.core.{TARGETS[target]}")
    if module.RUNTIMES and deployment.runtime.id not in module.RUNTIMES:
        able = ", ".join(map(fits.spelled, module.RUNTIMES))
        raise BadSetting(
            f"{target} runs {able}, not {fits.spelled(deployment.runtime.id)}",
            hint=f"--runtime {fits.spelled(module.RUNTIMES[0])}",
        )
    files: Callable[[LaunchParts], LaunchFiles] = module.files
    return files


def _serving(question: LaunchQuestion, deployment: Deployment) -> tuple[Serving, tuple[str, ...]]:
    """Where the model is read, and what about that is not known."""
    path, missing = _model_path(question, deployment)
    name = question.served_name or _short(deployment.model.id)
    serving = Serving(
        model_path=path, served_name=name, host=question.host, port=question.port,
        adapter_paths=tuple(str(Path(p).expanduser()) for p in question.fit.adapters),
    )  # fmt: skip
    return serving, missing


def _short(model_id: str) -> str:
    """The name of a model without its owner and file ending."""
    name = model_id.rstrip("/").rsplit("/", 1)[-1]
    return name.removesuffix(".gguf") or model_id


def _model_path(question: LaunchQuestion, deployment: Deployment) -> tuple[str, tuple[str, ...]]:
    """The path or hub id to start from, or a word in its place and what must stand there."""
    runtime, model = deployment.runtime.id, deployment.model
    if question.model_path:
        return str(Path(question.model_path).expanduser()), ()
    typed = question.fit.models[0]
    is_published = deployment.weight_format in ("", model.weight_format)
    if is_path(typed) and is_published:
        path = Path(typed).expanduser()
        if runtime != "llama_cpp":
            return str(path), ()
        from plimsoll.edges import files

        lies = files.find(path)
        if lies.kind == "gguf":  # any shard was given; llama.cpp wants the first
            return str(_first_shard(lies.weights[0])), ()
    elif runtime != "llama_cpp" and "/" in model.id and launch_of(runtime).makes(deployment):
        return model.id, ()
    word = NO_MODEL.get(runtime, NO_MODEL_ELSEWHERE)
    return word, (
        f"where the model lies: put it in place of {word}, or type --model-path PATH; {_what(deployment)}",
    )


def _first_shard(path: Path) -> Path:
    """The first file of a model in several; else the file itself."""
    found = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", path.name)
    return path.with_name(f"{found[1]}-00001-of-{found[2]}.gguf") if found else path


def _what(deployment: Deployment) -> str:
    """What the file must be, with the bytes of its tensors where they are exact."""
    model = deployment.model
    recipe = deployment.weight_format or model.weight_format
    text = f"it is {model.id} in {recipe}"
    if deployment.runtime.id != "llama_cpp":
        return text
    from plimsoll.runtimes.llama_cpp.weights import tensor_table

    size = sum(t.size_bytes for t in tensor_table(model, deployment.weight_format) if t.role not in
               ("vision", "audio", "projector"))  # fmt: skip
    return (
        f"{text}, a GGUF with {format_bytes(size)} of tensors ({format_count(size)} bytes) behind its header"
    )


def _changed(question: LaunchQuestion, deployment: Deployment) -> tuple[str, ...]:
    if not question.fingerprint or question.fingerprint == deployment.fingerprint:
        return ()
    return (
        f"the plan was made for {question.fingerprint}, this is {deployment.fingerprint}: the catalog or the "
        "machine has changed since; the numbers here are today's",
    )


def _release(question: LaunchQuestion, deployment: Deployment) -> tuple[str, ...]:
    """Which release the flags are of, where none was named and no image of a file names it."""
    runtime = deployment.runtime
    newest = NEWEST.get(runtime.id)
    if runtime.version or newest is None or question.target != COMMAND:
        return ()
    name = fits.spelled(runtime.id)
    return (f"flags of {name} {newest}, the newest known: --runtime {name}==VERSION for yours",)


def _answer(
    question: LaunchQuestion, fitted: Answer, reason: str, *, command: Command | None = None,
    made: LaunchFiles | None = None, serving: Serving | None = None, notes: tuple[str, ...] = (),
    unknowns: tuple[str, ...] = (),
) -> LaunchAnswer:  # fmt: skip
    asked = {
        f.name: getattr(question, f.name) for f in fields(question) if f.name not in ("fit", "fingerprint")
    }
    return LaunchAnswer(
        question="launch", asked={**fitted.asked, **{k: v for k, v in asked.items() if v}},
        verdict=fitted.verdict, reason=reason, model=fitted.model, machine=fitted.machine,
        target=question.target, command=command if made is None else None, files=_written(command, made),
        start=made.start if made else (), serving=serving, promise=fitted.bill, remedies=fitted.remedies,
        estimates=fitted.estimates,
        notes=tuple(dict.fromkeys((*fitted.notes, *notes))), unknowns=(*fitted.unknowns, *unknowns),
        sources=fitted.sources, versions=fitted.versions, deployments=fitted.deployments,
    )  # fmt: skip


def _written(command: Command | None, made: LaunchFiles | None) -> tuple[LaunchFile, ...]:
    if made is not None:
        return made.files
    return (script_file(command),) if command is not None else ()


def plan_question(reference: str) -> LaunchQuestion | None:
    """The question that a choice of a saved plan asked ('plan.json', 'plan.json#3'); None for what is no
    .json file of that name. Raises what `parse.plan_file` raises."""
    wanted = plan_file.reference(reference)
    path = Path(wanted.path).expanduser()
    if path.suffix.lower() != ".json" or path.name == "config.json":
        return None
    if "/" in wanted.path and not is_path(wanted.path):
        return None  # a hub id
    found = plan_file.asked(local_file.read_small_text(str(path)).encode(), wanted)
    if not found.fields.get("models"):
        raise BadSetting(f"{reference} names no model", hint="plimsoll plan MODEL --save FILE")
    question = fits.FitQuestion(**found.fields)
    return LaunchQuestion(fit=question, fingerprint=found.fingerprint)
