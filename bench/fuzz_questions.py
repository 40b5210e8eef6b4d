"""A long fuzz of every command: whatever is asked, the answer is an answer or one sentence, at once.

    python bench/fuzz_questions.py [--seconds 60] [--seed 0] [--command plan]

Options and arguments are read from the commands themselves, so that a new option is fuzzed from its first
day. A question fails if it ends by an exception or by an exit code other than 0 to 4, if --json prints
anything but one JSON value, if a key or password that went in comes out, or if it takes more than --limit
seconds of CPU.
Every kind of failure is shown once, with the command line that repeats it; exit code 1 if there was any.
Never --run (it starts programs), never the network, and files are written in a temporary folder only.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

sys.path.insert(0, str(Path(__file__).parent.parent))

from plimsoll.doors.cli import main as door
from tests.parse import gguf_bytes

SECRETS = ("hf_AbCdEfGhIjKlMnOpQrStUvWxYz01234567", "sk-proj-0123456789abcdefghijABCDEFGHIJ0123456789")
ADDRESS_SPACE = 8 << 30
NEVER = {"--run", "--help", "--version"}
ALWAYS = {"--offline"}
HOSTILE = (
    "", " ", "\t", "0", "-1", "1e999", "nan", "NaN", "inf", "-inf", "9" * 400, "1_000", "½", "٣", "0x10",
    "1e-320",
    "\u202ertl", "🚢", "'; rm -rf ~ #", "$(id)", "`id`", "../../../etc/passwd", "/dev/null", "a" * 5000,
    "\x1b[2J",
    "{", "[", "(((((", "a,b", "=", "==", "x=", "=x", "/", "//", ":", "..", "1..", "..1", "5..1", "%s%n",
    "null",
    "None", "true", "-", "--", "#", "#0", "\ufeff", "ﬀ", "İ", "ß", "\udcff", "~", "~nobody", "file://x", "\n",
)  # fmt: skip
# Of each kind what an honest person types, then what is wrong, odd or at an edge.
NUMBERS = (("1", "2", "7", "128"), ("0", "-1", "1.5", "999999999", "1e9", "nan", str(2**63)))
TOKENS = (
    ("8192", "32k", "128k", "1m"),
    ("1", "0", "-1", "0.5k", "999999999", "10**9", str(2**63), "4k..1m", "4k,32k"),
)
SIZES = (("80GiB", "24GB", "0.5GiB"), ("1KiB", "0", "-1GiB", "1e30GiB", "24", "nanGiB", "9999999TiB", "GiB"))
MODELS = (
    ("gpt-oss-120b", "qwen3-30b-a3b", "deepseek-v3", "llama-3.1-8b", "gemma-3-27b-it", "kimi-k2-instruct",
     "phi-4",
     "qwen3-next-80b-a3b-instruct", "glm-4.5-air", "Qwen/Qwen3-30B-A3B", "falcon-h1-34b-instruct",
     "llama-4-scout"),
    ("Qwen3-72B", "mamba", "mistral", "llama4", "no/such", "jamba", "whisper", "llama3.1:8b",
     "https://example.invalid/x",
     "hf.co/unsloth/Qwen3-8B-GGUF:Q4_K_M"),
)  # fmt: skip
MACHINES = (
    ("rtx-3090", "2x rtx-3090", "rtx-pro-6000", "8x h200", "mi300x", "rtx-4090 + 64GiB ram",
     "m3-ultra-512gb", "b200",
     "rtx-pro-6000 + 192GiB ram", "rtx-3090 + rtx-4090 + 128GiB ram", "arc-b580", "ryzen-ai-max-395",
     "128GiB ram"),
    ("0x rtx-3090", "-1x h100", "99999999x h100", "1024x h100", "h100 + ", "+ 128GiB ram",
     "rtx-3090 + -5GiB ram",
     "rtx-9999", "apple m2", "2 x", "cpu", "1.5x h100", "h100 x2", "rtx-3090 + 1e30GiB ram",
     "rtx-3090 + 0GiB ram"),
)  # fmt: skip
RUNTIMES = (
    ("llama.cpp", "vllm", "sglang", "tensorrt-llm", "exllama", "transformers", "mlx", "vllm==0.11"),
    ("vlm", "vllm==", "vllm==99.99", "vllm==0.1", "llama.cpp==b1", "llama.cpp==b99999999", "vllm==x.y",
     "ollama",
     "LLAMA.CPP", "vllm=0.11"),
)  # fmt: skip
FORMATS = (
    ("q4_k_m", "q8_0", "bf16", "fp8", "awq", "gptq", "nvfp4", "mxfp4", "iq1_s", "mlx-4bit", "exl3-4.0bpw",
     "fp16"),
    ("exl3-99bpw", "exl3-nanbpw", "exl3-0bpw", "mlx-0bit", "q9_k", "f32", "int4", "q8_0/q4_0", "fp8/fp8",
     "bf16/",
     "w8a8", "exl2-3bpw", "exl3-" + "9" * 400 + "bpw"),
)  # fmt: skip
POOLS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "model": MODELS, "models": MODELS, "for_model": MODELS, "reference": MODELS, "on": MACHINES,
    "runtime": RUNTIMES,
    "weights": FORMATS, "kv": (("q8_0", "fp8", "f16", "q8_0/q4_0"), FORMATS[1]), "vram_free": SIZES,
    "ram": SIZES,
    "desktop": SIZES, "draft": (("qwen3-0.6b", "gpt-oss-20b"), MODELS[1]), "compare": MODELS,
    "context": TOKENS,
    "contexts": TOKENS, "prompt": TOKENS, "output": TOKENS,
    "settings": (("gpu_memory_utilization=0.9", "flash_attn=on", "max_num_seqs=8", "num_experts_per_tok=16",
                 "rope_scaling=yarn:4", "sliding_window=2048"),
                ("gpu_memory_utilization=nan", "x=1", "n_ubatch=0", "enforce_eager=true",
                 "num_hidden_layers=0",
                 "hidden_size=-1", "vocab_size=1e9", "num_attention_heads=7", "n_ubatch=" + "9" * 30)),
    "power": (("300W", "250W", "450W"), ("0W", "300", "-5W", "nanW", "1e9W", "300kW", "1W", "1e-300W")),
    "speculate": (("mtp", "mtp:1", "eagle3", "draft:4"), ("draft:0", "mtp:-1", "mtp:99999999", "mtp:x",
    "medusa", "mtp:")),
    "acceptance": (("0.7", "0.6..0.8"), ("0", "1", "1.01", "-0.1", "nan", "0.8..0.6", "70%", "0..1")),
    "rent": (("1.45USD/h", "1EUR/h"), ("0USD/h", "-1USD/h", "nanUSD/h", "1/h", "USD", "1e300USD/h",
    "1.45 USD / h")),
    "electricity": (("0.30EUR/kWh",), ("0EUR/kWh", "infEUR/kWh", "0.3/kWh", "0.30EUR/MWh", "1e300EUR/kWh")),
    "budget": (("400USD/month", "9000USD/month"), ("0USD/month", "nanUSD/month", "400USD", "1EUR/year")),
    "max_ttft": (("2s", "500ms"), ("0s", "-1s", "nans", "1h", "2", "1e-300s")),
    "min_tps": (("10", "50.5"), ("1e300", "0", "-1", "nan", "inf", "1e-300")),
    "disk": (("7GB/s", "500MB/s"), ("0GB/s", "7", "-1GB/s", "nanGB/s", "1e300GB/s", "1e-300GB/s")),
    "override_tensor": (("exps=CPU", "ffn_.*_exps=CPU"), ("(((((=CPU", "(a+)+$=CPU", "=CPU", "exps=",
    "exps=CUDA9", ".*=CPU")),
    "target": (("command", "preset", "modelfile", "lm-studio", "compose", "kubernetes", "ray", "systemd",
    "tabbyapi",
                "trtllm"), ("docker",)),
    "experts": (("1..8", "1,2,4,8"), ("0..4", "1..999999999", "8..1", "a..b")),
    "features": (("yarn", "speculative", "multi-gpu", "lora"), ("nothing",)),
    "driver": (("580.95", "570.86", "610.43"), ("0", "999", "470.82.01", "-1", "x", "9" * 400)),
    "cuda": (("12.8", "13.0"), ("13", "1", "x.y", "9" * 400)), "os": (("ubuntu-24.04", "windows-11",
    "macos"), ("beos",)),
    "backend": (("vulkan", "rocm", "sycl", "metal"), ("nothing",)), "ui": (("open-webui", ""), ("nothing",)),
    "stack": (("vllm", "vllm==0.11.0", "llama.cpp"), ("nothing==1", "vllm==")),
    "sets": (("num_experts_per_tok=16", "rope_scaling=yarn:4", "sliding_window=2048"),
             ("num_hidden_layers=0", "hidden_size=-1", "vocab_size=1e9", "num_attention_heads=7", "x=nan",
              "x=null")),
    "edits": (("remove:a", "renumber:a=1", "add:a,b"), ("renumber:a=-1", "remove:", "renumber:a", "add:")),
    "host": (("127.0.0.1", "0.0.0.0", "::1"), ("a b",)), "served_name": (("served", "a b"), ("$(id)",)),
    "words": (("qwen", "rtx", "llama", "8b"), ("zzz",)), "text": (("Привет, мир", "a"), ("\0",)),
}  # fmt: skip
READS = {"model", "models", "reference", "for_model", "adapters", "lora", "path", "draft", "prices_file",
"log", "file", "on",
         "model_path", "compare"}  # fmt: skip
WRITES = {"svg", "svg_path", "html", "save", "write", "to"}
PRICES = 'electricity = "0.30EUR/kWh"\n[[price]]\ndevice = "rtx-3090"\nrent = "0.34 EUR/h"\n'
MACHINE = 'name = "mine"\nram = "64GiB"\n[[device]]\nis = "rtx-3090"\ncount = 2\n'
LOG = f"""ggml_backend_cuda_buffer: allocating 99999.00 MiB on device 0: cudaMalloc failed: out of memory
HF_TOKEN={SECRETS[0]}
Authorization: Bearer {SECRETS[1]}
vllm serve x --api-key {SECRETS[1]}
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1e999 GiB. GPU 0 has a total capacity of nan GiB
KV cache size: {"9" * 500} tokens
"""


def write_files(folder: Path, rng: random.Random) -> tuple[str, ...]:
    """Good, broken and hostile files of every kind that a command reads."""
    gguf, config = gguf_bytes.llama(), {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4}
    config |= {"intermediate_size": 128, "num_hidden_layers": 2, "vocab_size": 100, "torch_dtype": "bfloat16"}
    plan = {"question": "plan", "choices": [{"asked": {"models": ["qwen3-30b-a3b"], "on": "rtx-3090"}}]}
    files: dict[str, bytes] = {
        "good.gguf": gguf, "cut.gguf": gguf[: len(gguf) // 2], "empty.gguf": b"", "zeros.gguf": bytes(4096),
        "flipped.gguf": bytes(b ^ (rng.random() < 0.01) for b in gguf),
        "good/config.json": json.dumps(config).encode(),
        "deep/config.json": b'{"a":' * 100_000, "bom/config.json": b"\xef\xbb\xbf{}",
        "latin.txt": "naïve".encode("cp1252"),
        "huge/config.json": json.dumps(config | {"num_hidden_layers": 10**9, "vocab_size": 10**30}).encode(),
        "zero/config.json": json.dumps(dict.fromkeys(config, 0)).encode(),
        "plan.json": json.dumps(plan).encode(), "list.json": b"[]", "nan.json": b'{"a": NaN}',
        "deep.json": b"[" * 99_999,
        "prices.toml": PRICES.encode(), "bad.toml": b"[[[", "nan.toml": b"[rtx-3090]\nrent = nan\n",
        "empty.toml": b"",
        "machine.toml": MACHINE.encode(), "minus.toml": MACHINE.replace("2", "-2").encode(),
        "server.log": LOG.encode(),
        "binary.log": rng.randbytes(5000), "long.log": b"CUDA error: " * 200_000, "empty.log": b"",
        "lora/adapter_config.json": b'{"peft_type": "LORA", "r": 16, "target_modules": ["q_proj"]}',
        "lora-bad/adapter_config.json": b'{"r": 1e999}',
        "tokenizer.json": b'{"model": {"type": "BPE", "vocab": {"a": 0}}}',
    }  # fmt: skip
    for name, data in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    names = {name.split("/")[0] for name in files}
    return (
        *sorted(names),
        "plan.json#1",
        "plan.json#0",
        "plan.json#x",
        "plan.json#",
        "missing.json",
        "missing.gguf",
    )


def value(parameter: click.Parameter, files: tuple[str, ...], rng: random.Random, oddness: float) -> str:
    """One value for an option or argument: of its kind, or, as odd as told, what no honest person types."""
    name, is_odd = (parameter.name or ""), rng.random() < oddness
    if name in WRITES:
        return rng.choice(("no/such/folder/out", "good", "", "o🚢.html", "out\n")) if is_odd else "out.json"
    if is_odd and rng.random() < 0.4:
        return rng.choice(HOSTILE)
    if name in READS and (rng.random() < 0.2 or name not in POOLS):
        return rng.choice(files)
    if isinstance(parameter.type, click.Choice) and not is_odd:
        return str(rng.choice(tuple(parameter.type.choices)))
    return rng.choice(POOLS.get(name, NUMBERS)[is_odd])


def question(name: str, command: click.Command, files: tuple[str, ...], rng: random.Random) -> list[str]:
    """The words of one command line, with up to six of the command's options and its arguments."""
    oddness = rng.choice((0.0, 0.1, 0.3))
    options = [p for p in command.params if isinstance(p, click.Option) and not NEVER & set(p.opts)]
    chosen = rng.sample(options, min(len(options), rng.randint(0, 6)))
    chosen += [p for p in options if ALWAYS & set(p.opts) and p not in chosen]
    if name != "calibrate" and rng.random() < 0.8:
        chosen += [p for p in options if p.name == "on" and p not in chosen]
    words = [name]
    for option in chosen:
        words.append(option.opts[-1])
        if not option.is_flag and not option.count:
            words.append(value(option, files, rng, oddness))
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    for argument in arguments:
        many = rng.choice((1, 1, 1, 2, 3)) if argument.nargs == -1 else rng.choice((1,) * 19 + (0,))
        words += [value(argument, files, rng, oddness) for _ in range(many)]
    return words


def _late(_signal: int, _frame: FrameType | None) -> None:
    raise TimeoutError("took too long")


def ask(words: list[str]) -> tuple[object, str, str]:
    """The exit code and what went to standard output and to standard error."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True)
    sys.argv, code = ["plimsoll", *words], None
    sys.stdin = io.TextIOWrapper(io.BytesIO(LOG.encode()), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            door.main()
    except SystemExit as end:
        code = end.code
    return code, *(stream.buffer.getvalue().decode(errors="backslashreplace") for stream in (out, err))  # type: ignore[attr-defined]


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def faults(words: list[str], code: object, out: str, err: str) -> Iterator[str]:
    """What is wrong with an answer."""
    if code not in (0, 1, 2, 3, 4):
        yield f"exit code {code!r}"
    if "Traceback" in out + err:
        yield "a traceback"
    if code in (2, 4) and not out.strip() and not err.strip():
        yield f"exit code {code} without a word"
    if any(secret in out + err and not any(secret in word for word in words) for secret in SECRETS):
        yield "a secret"
    if "--json" in words:
        try:
            json.loads(out, parse_constant=_no_constant)
        except ValueError as error:
            yield f"no JSON: {str(error).partition(':')[0]}"


def try_once(words: list[str], limit: float, codes: Counter[object]) -> Iterator[tuple[str, str]]:
    """Every fault of one question, as a kind and its details; its exit code is counted."""
    started = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, 5 * limit)
    try:
        code, out, err = ask(words)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        where = [f for f in traceback.extract_tb(error.__traceback__) if "plimsoll" in f.filename][-1]
        kind = f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}"
        codes["crash"] += 1
        yield kind, str(error)[:300]
        return
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    codes[code] += 1
    for fault in faults(words, code, out, err):
        yield f"{words[0]}: {fault}", (out[-200:] + err[-200:]).strip()
    if (took := time.process_time() - started) > limit:
        yield f"{words[0]}: slow", f"{took:.1f} s of CPU"


def fuzz(
    commands: dict[str, click.Command], files: tuple[str, ...], args: argparse.Namespace
) -> dict[str, str]:
    """Ask until the time is over; every kind of fault with the first question that showed it."""
    rng, found = random.Random(args.seed), dict[str, str]()
    codes = {name: Counter[object]() for name in commands}
    end = time.monotonic() + args.seconds
    while time.monotonic() < end:
        name = rng.choice(tuple(commands))
        words = question(name, commands[name], files, rng)
        if name == "calibrate":
            words += ["--no-such-option"]  # else it would fit for minutes
        for kind, details in try_once(words, args.limit, codes[name]):
            if kind not in found:
                found[kind] = shlex.join(["plimsoll", *words])
                print(f"\n{kind}\n  {found[kind][:1000]!a}\n  {details!a}", flush=True)
    for name, counted in codes.items():
        print(f"{name:10} " + ", ".join(f"{code}: {n:,}" for code, n in sorted(counted.items(), key=str)))
    print(f"{sum(sum(c.values()) for c in codes.values()):,} questions, {len(found)} kinds of fault")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10, help="seconds of CPU for one question")
    parser.add_argument("--command", choices=tuple(door.COMMANDS))
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    signal.signal(signal.SIGVTALRM, _late)
    os.environ["HF_TOKEN"] = SECRETS[0]
    context = click.Context(door.cli)
    names = [args.command] if args.command else list(door.COMMANDS)
    commands = {name: c for name in names if (c := door.cli.get_command(context, name))}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        files = write_files(Path(folder), random.Random(args.seed))
        return 1 if fuzz(commands, files, args) else 0


if __name__ == "__main__":
    sys.exit(main())
