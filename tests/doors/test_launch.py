# ruff: noqa: E501 (lines of logs are as long as they are)
"""`plimsoll launch` at the command line: print, write, run, and everything that goes wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ghost.tiny import write_header, write_tiny

FAKE = Path(__file__).parents[1] / "ask" / "fake_llama_server.py"
MODEL = ("Qwen/Qwen3-30B-A3B", "--on", "rtx-3090 + 64GiB ram", "--runtime", "llama.cpp",
         "--weights", "q4_k_m", "--offline")  # fmt: skip
BASH = shutil.which("bash")
posix = pytest.mark.skipif(os.name != "posix", reason="signals and rights of POSIX")


def words_of(*typed: str) -> list[str]:
    return [sys.executable, "-c", "from plimsoll.doors.cli.main import main; main()", "launch", *typed]


def run(*typed: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words_of(*typed), capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, **variables},
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def is_running(pid: int) -> bool:
    """Whether a process still does something: one that waits for its parent to notice its end does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A llama-server on the PATH of its own folder."""
    path = tmp_path / "bin" / "llama-server"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n" + FAKE.read_text().split("\n", 1)[1])
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def local(tmp_path: Path) -> tuple[str, ...]:
    """A model file and the machine it is for."""
    path = tmp_path / "my model.gguf"
    write_header(path, "qwen3", "f16")
    return (str(path), "--on", "epyc-9554-12ch-ddr5-4800 + 64GiB ram", "--runtime", "llama.cpp",
            "--context", "4096", "--offline")  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> str:
    """What b11549 logs for that model and question."""
    path = tmp_path / "log.txt"
    path.write_text(
        "load_tensors: loading model tensors, this can take a while... (load_mode = mmap)\n"
        "load_tensors:   CPU_Mapped model buffer size =     5.01 MiB\n"
        "llama_context: constructing llama_context\n"
        "llama_context:        CPU  output buffer size =     0.00 MiB\n"
        "llama_kv_cache:        CPU KV buffer size =     8.00 MiB\n"
        "sched_reserve:        CPU compute buffer size =     9.52 MiB\n"
        "srv    load_model: initializing, n_slots = 1, n_ctx_slot = 4096, kv_unified = 'false'\n"
        "srv          init: model loaded\n"
    )
    return str(path)


def test_the_text_and_its_json_say_the_same() -> None:
    text, data = run(*MODEL), run(*MODEL, "--json")
    assert text.returncode == data.returncode == 0
    found = json.loads(data.stdout)
    flags = [(f["name"], f["value"]) for f in found["command"]["flags"]]
    assert ("-c", "8192") in flags
    assert all(f["reason"] in text.stdout for f in found["command"]["flags"])
    assert found["promise"]["lines"]
    assert found["files"][0]["name"] == "launch.sh"


def test_what_does_not_fit_is_refused_with_remedies_and_nothing_is_written(tmp_path: Path) -> None:
    typed = ("qwen3-30b-a3b", "--on", "rtx-3090 + 8GiB ram", "--runtime", "llama.cpp", "--weights", "bf16")
    for more in (("--write", str(tmp_path / "out")), ("--run",)):
        done = run(*typed, *more)
        assert done.returncode == 1
        assert "does not fit" in done.stdout
        assert "--weights" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(BASH is None, reason="needs bash")
def test_a_written_script_is_whole_and_not_written_over(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    done = run(*MODEL, "--write", str(out))
    assert done.returncode == 0
    script = out / "launch.sh"
    assert [p.name for p in out.iterdir()] == ["launch.sh"]
    assert script.stat().st_mode & stat.S_IXUSR
    assert BASH is not None
    assert subprocess.run([BASH, "-n", str(script)], check=False).returncode == 0
    script.write_text("mine")
    again = run(*MODEL, "--write", str(out))
    assert again.returncode == 2
    assert "already there" in again.stderr
    assert "--force" in again.stderr
    assert script.read_text() == "mine"
    assert run(*MODEL, "--write", str(out), "--force").returncode == 0
    assert "llama-server" in script.read_text()


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    done = run(*MODEL, "--write", str(tmp_path / "x"))
    tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert "Permission denied" in done.stderr


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    done = run(*MODEL, "--write", str(tmp_path / "x" / "y"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "hint: " in done.stderr


@pytest.mark.parametrize(
    "typed",
    [
        ("--check",), ("--force",), ("--run", "--write", "x"), ("--run", "--print"), ("--as", "nothing"),
        ("--run", "--as", "modelfile"), ("--port", "0"), ("--host", "two words"),
    ],
)  # fmt: skip
def test_contradictions_are_refused(typed: tuple[str, ...]) -> None:
    done = run(*MODEL, *typed)
    assert done.returncode == 2
    assert done.stdout == ""


def test_a_plan_is_not_bent_by_options(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    asked = {"models": ["Qwen/Qwen3-30B-A3B"], "on": "rtx-3090", "runtime": "llama.cpp", "weights": "q4_k_m"}
    path.write_text(json.dumps({"question": "plan", "choices": [{"parts": [{"asked": asked}]}]}))
    assert run(f"{path}#1").returncode == 0
    bent = run(str(path), "--context", "4096")
    assert bent.returncode == 2
    assert "context_tokens" in bent.stderr
    assert run(f"{path}#2").returncode == 2


def test_hostile_names_stay_words(tmp_path: Path) -> None:
    path = tmp_path / "a'; touch x\n\x1b[2J.gguf"
    write_header(path, "qwen3", "f16")
    done = run(str(path), "--on", "rtx-3090 + 64GiB ram", "--runtime", "llama.cpp", "--name", "-x $(id)")
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "'-x $(id)'" in done.stdout


def test_nothing_is_started_where_something_is_missing(
    local: tuple[str, ...], program: str, tmp_path: Path
) -> None:
    missing = run(*local, "--run", PATH=str(tmp_path))
    assert missing.returncode == 2
    assert "no program 'llama-server'" in missing.stderr
    nowhere = run(*local, "--run", "--program", program, "--model-path", str(tmp_path / "no.gguf"))
    assert nowhere.returncode == 2
    assert "there is no file" in nowhere.stderr
    untold = run(*MODEL, "--run", "--program", program)
    assert untold.returncode == 2
    assert "--model-path" in untold.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        busy = run(*local, "--run", "--program", program, "--port", str(port))
    assert busy.returncode == 2
    assert f"port {port} is in use" in busy.stderr
    assert "hint: --port" in busy.stderr


def test_a_checked_run_says_equal_line_by_line(local: tuple[str, ...], program: str, log: str) -> None:
    typed = (*local, "--run", "--check", "--program", program, "--port", str(free_port()))
    done = run(*typed, FAKE_LOG=log)
    assert done.returncode == 0, done.stderr
    assert "as promised" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("ram")]
    assert [row[-1] for row in rows] == ["equal"] * 4
    assert "model loaded" in done.stderr
    data = json.loads(run(*typed, "--json", FAKE_LOG=log).stdout)
    assert data["outcome"] == "ready"
    assert {row["match"] for row in data["compared"]} == {"equal"}


def test_more_than_promised_is_said_and_is_a_no(
    local: tuple[str, ...], program: str, log: str, tmp_path: Path
) -> None:
    other = tmp_path / "more.txt"
    other.write_text(Path(log).read_text().replace("8.00 MiB", "9.00 MiB").replace("4096, kv", "2048, kv"))
    typed = (*local, "--run", "--check", "--program", program, "--port", str(free_port()))
    done = run(*typed, FAKE_LOG=str(other))
    assert done.returncode == 1
    assert "1,048,576 bytes more" in done.stdout
    assert "a slot holds 2,048 tokens, not 4,096" in done.stdout


@pytest.mark.parametrize(("end", "code"), [("oom", 1), ("crash", 4)])
def test_a_failed_start(local: tuple[str, ...], program: str, log: str, end: str, code: int) -> None:
    typed = (*local, "--run", "--program", program, "--port", str(free_port()))
    done = run(*typed, FAKE_LOG=log, FAKE_END=end)
    assert done.returncode == code
    assert ("OUT OF MEMORY" in done.stdout) is (end == "oom")
    assert ("error: " in done.stderr) is (end == "crash")


# A question, and a start in the formats of vLLM 0.33.0 and SGLang 0.5.23; figures within the promise. What loading
# gpt-oss-120b took was published (https://github.com/vllm-project/vllm/issues/23278).
PYTHON = {
    "vllm": (
        ("gpt-oss-120b", "--on", "rtx-pro-6000", "--runtime", "vllm", "--context", "131072", "--offline"),
        "(EngineCore pid=9) INFO 11-20 10:00:01 [gpu_model_runner.py:5089] Model loading took 65.97 GiB memory "
        "and 44.950075 seconds\n"
        "(EngineCore pid=9) INFO 11-20 10:00:09 [gpu_worker.py:773] Available KV cache memory: 17.9 GiB\n"
        "(EngineCore pid=9) INFO 11-20 10:00:09 [kv_cache_utils.py:1148] GPU KV cache size: 463,000 tokens, "
        "Maximum concurrency for 131,072 tokens per request: 3.53x\n"
        "(EngineCore pid=9) INFO 11-20 10:00:20 [gpu_model_runner.py:6515] Graph capturing finished in 9 secs, "
        "took 0.42 GiB\n"
        "(APIServer pid=1) INFO:     Application startup complete.\n",
        ("17.9 GiB", "3.0 GiB"),
    ),
    "sglang": (
        ("Qwen/Qwen3-8B", "--on", "2x rtx-3090", "--runtime", "sglang", "--context", "8192", "--offline"),
        "[2026-11-20 10:00:01 TP0] Load weight end. elapsed=9.00 s, type=Qwen3ForCausalLM, avail mem=15.34 GB, "
        "mem usage=7.65 GB.\n"
        "[2026-11-20 10:00:01 TP1] Load weight end. elapsed=9.00 s, type=Qwen3ForCausalLM, avail mem=15.34 GB, "
        "mem usage=7.65 GB.\n"
        "[2026-11-20 10:00:02 TP0] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 166000, K size: 5.70 GB, "
        "V size: 5.70 GB\n"
        "[2026-11-20 10:00:09 TP0] Capture target decode CUDA graph end. bs=[1, 2, 4], elapsed=5.00 s, "
        "mem usage=0.31 GB, avail mem=3.20 GB.\n"
        "[2026-11-20 10:00:09 TP0] max_total_num_tokens=166000, chunked_prefill_size=2048, "
        "max_prefill_tokens=16384, max_running_requests=2048, context_len=8192, available_gpu_mem=3.20 GB\n"
        "[2026-11-20 10:00:10] The server is fired up and ready to roll!\n",
        ("5.70 GB", "2.00 GB"),
    ),
}


@pytest.mark.parametrize("runtime", PYTHON)
def test_figures_of_the_python_runtimes_are_held_against_the_promise(
    runtime: str, program: str, tmp_path: Path
) -> None:
    question, text, (pool, less) = PYTHON[runtime]
    path = tmp_path / "python.txt"
    typed = (*question, "--run", "--check", "--program", program, "--port", str(free_port()))
    path.write_text(text)
    done = run(*typed, FAKE_LOG=str(path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "as promised" in done.stdout
    data = json.loads(run(*typed, "--json", FAKE_LOG=str(path)).stdout)
    found = {(row["device"], row["what"]): row["match"] for row in data["compared"]}
    assert set(found.values()) <= {"equal", "within"}
    assert {what for _, what in found} == {"loaded weights", "CUDA graphs", "KV pool"}
    assert [row["unit"] for row in data["counts"]] == ["tokens", "requests"][: 1 + (runtime == "vllm")]
    path.write_text(text.replace(pool, less))
    short = run(*typed, FAKE_LOG=str(path))
    assert short.returncode == 1
    assert "offers less room than promised" in short.stdout


def test_a_python_runtime_without_memory_is_a_no(program: str, tmp_path: Path) -> None:
    question = PYTHON["vllm"][0]
    path = tmp_path / "oom.txt"
    path.write_text("ValueError: No available memory for the cache blocks. Try increasing ...\n")
    typed = (*question, "--run", "--program", program, "--port", str(free_port()))
    done = run(*typed, FAKE_LOG=str(path), FAKE_END="crash")
    assert done.returncode == 1
    assert "OUT OF MEMORY" in done.stdout
    assert "No available memory for the cache blocks" in done.stdout


@posix
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("stubborn", ["", "1"])
def test_an_interrupt_leaves_nothing_running(
    local: tuple[str, ...], program: str, log: str, tmp_path: Path, how: signal.Signals, stubborn: str
) -> None:
    pids = tmp_path / "pids"
    typed = words_of(*local, "--run", "--program", program, "--port", str(free_port()))
    variables = {**os.environ, "FAKE_LOG": log, "FAKE_PIDS": str(pids), "FAKE_STUBBORN": stubborn}
    with subprocess.Popen(
        typed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=variables, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Ctrl-C ends it" in line:
                break
        process.send_signal(how)
        if stubborn:
            time.sleep(0.3)
            process.send_signal(how)  # a second time: no more patience
        process.wait(timeout=30)
    assert process.returncode == 130
    assert not any(is_running(pid) for pid in map(int, pids.read_text().split()))


@pytest.mark.oracle
def test_a_real_server_is_started_compared_and_ended(tmp_path: Path) -> None:
    program = os.environ.get("PLIMSOLL_LLAMA_SERVER")
    if not program:
        pytest.skip("PLIMSOLL_LLAMA_SERVER names no llama-server")
    path = tmp_path / "tiny.gguf"
    write_tiny(path, "qwen3")
    version = os.environ.get("PLIMSOLL_LLAMA_SERVER_VERSION", "b10434")
    done = run(
        str(path), "--on", "epyc-9554-12ch-ddr5-4800 + 64GiB ram", "--runtime", f"llama.cpp=={version}",
        "--context", "4096", "--run", "--check", "--program", program, "--port", str(free_port()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "as promised" in done.stdout
    # A build for a processor with AMX copies the weights beside the mapped file, and says so.
    assert done.stdout.count("  equal") == (3 if "second copy" in done.stdout else 4)
