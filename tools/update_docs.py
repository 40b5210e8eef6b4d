"""Write what the program prints into the docs: --help texts, and the output of shown commands.

`docs/reference/<command>.md` holds the help between its two marks; README.md the output of its first
command. Run after changing an option: `python tools/update_docs.py`. A test fails while they differ.
`docs/reference/speed.md` and `scale.md` also show whole outputs (and a table of cases), which change with the
calibration, the prices and the day; they are written anew, but no test holds them. Tests hold those of
launch-targets.md and fleet.md.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from plimsoll.catalog import fleet_example
from plimsoll.doors.cli.main import COMMANDS, cli
from plimsoll.doors.cli.speed import BOUND_BY

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs" / "reference"
README = ROOT / "README.md"
FIRST_COMMAND = re.compile(r"&& plimsoll (.+)\n")
OUTPUT = re.compile(r"(<!-- output -->\n```text\n).*?(```\n<!-- /output -->)", re.DOTALL)
BLOCK = re.compile(r"(<!-- help -->\n```text\n).*?(```\n<!-- /help -->)", re.DOTALL)


def help_text(name: str) -> str:
    """The command's --help at 100 columns."""
    # Click keeps a command's help option once made: the names must be those of a real call every time.
    names = ["-h", "--help"]
    root = click.Context(
        cli, info_name="plimsoll", terminal_width=100, max_content_width=100, help_option_names=names
    )
    command = cli.get_command(root, name)
    assert command is not None
    return command.get_help(click.Context(command, info_name=name, parent=root)) + "\n"


def updated(page: str, name: str) -> str:
    """The page with the command's present help text."""
    return BLOCK.sub(lambda found: f"{found[1]}{help_text(name)}{found[2]}", page)


def with_first_output(readme: str) -> str:
    """The README with what its first command prints now."""
    command = FIRST_COMMAND.search(readme)
    assert command is not None
    printed = CliRunner().invoke(cli, [*command[1].split(), "--offline"]).output
    return OUTPUT.sub(lambda found: f"{found[1]}{printed}{found[2]}", readme)


# `plimsoll speed ...` or `plimsoll scale ...` on a line of its own, and what it prints.
SHOWN = re.compile(r"(^`plimsoll ((?:speed|scale) [^`]+)`\n```text\n).*?(^```\n)", re.DOTALL | re.MULTILINE)
CASES = re.compile(r"(<!-- cases -->\n).*?(<!-- /cases -->)", re.DOTALL)
# What the issue of speed asks for, by name.
REFERENCE = (
    "gpt-oss-120b --on rtx-pro-6000",
    "gpt-oss-120b --on rtx-pro-6000 --runtime llama.cpp --weights mxfp4_moe",
    "qwen3-30b-a3b --on rtx-pro-6000 --weights bf16",
    "qwen3-30b-a3b --on rtx-pro-6000 --weights fp8",
    "qwen3-30b-a3b --on rtx-pro-6000 --weights q4_k_m",
    "qwen3-235b-a22b --on 'rtx-pro-6000 + 192GiB ram' --weights q4_k_m",
    "qwen3-235b-a22b --on 'rtx-pro-6000 + 192GiB ddr5-6000 x2' --weights q4_k_m",
    "llama-3.3-70b --on '2x rtx-3090' --weights q4_k_m",
    "gpt-oss-120b --on strix-halo --runtime llama.cpp --weights mxfp4_moe",
    "gpt-oss-120b --on dgx-spark --runtime llama.cpp --weights mxfp4_moe",
    "gpt-oss-120b --on mac-studio-m3-ultra-256gb --runtime llama.cpp --weights mxfp4_moe",
    "gpt-oss-120b --on mac-studio-m4-max-128gb --runtime llama.cpp --weights mxfp4_moe",
    "gpt-oss-120b --on epyc-9554-12ch-ddr5-4800-384gb --weights mxfp4_moe",
)


def printed(arguments: str) -> str:
    """What `plimsoll <arguments>` prints, offline."""
    return CliRunner().invoke(cli, [*shlex.split(arguments), "--offline"]).output


def with_outputs(page: str) -> str:
    """The page with what its commands print now, and its table of cases."""
    page = SHOWN.sub(lambda found: f"{found[1]}{printed(found[2])}{found[3]}", page)
    return CASES.sub(lambda found: f"{found[1]}{_cases()}{found[2]}", page)


def _cases() -> str:
    rows = ["| `plimsoll speed ...` | prompt, tokens/s | first token, s | generation, tokens/s | bound by |"]
    rows.append("|---|---|---|---|---|")
    for case in REFERENCE:
        answer = json.loads(printed(f"speed {case} --context 8192 --prompt 1024 --json"))
        found = {s["estimate"]["quantity"]: s for s in answer["speeds"]}
        cells = [_cell(found.get(name)) for name in ("prefill", "ttft", "decode")]
        rows.append(f"| `{case}` | {' | '.join(cells)} | {BOUND_BY[found['decode']['bottleneck']]} |")
    return "\n".join(rows) + "\n"


def _cell(speed: dict[str, Any] | None) -> str:
    if speed is None:
        return "unknown"
    numbers = [speed["estimate"][name] for name in ("low", "value", "high")]
    low, value, high = (f"{v:,.3g}" if v < 1000 else f"{v:,.0f}" for v in numbers)
    return f"{value} ({low} … {high})"


LAUNCHED = re.compile(
    r"(`plimsoll ((?:launch|train-plan|load) [^`\n]+)`\n<!-- output -->\n```text\n)"
    r".*?(```\n<!-- /output -->)",
    re.DOTALL,
)
TARGETS_PAGE = "launch-targets.md"
TRAINING_PAGE = "train-plan.md"


def with_launches(page: str) -> str:
    """The page with what each shown launch, training plan or load prints now."""
    return LAUNCHED.sub(lambda found: f"{found[1]}{printed(found[2])}{found[3]}", page)


# A page of `fleet` holds its files: <!-- file NAME --> and a toml block; `fleet.toml` is the shipped example.
FLEET_FILE = re.compile(r"<!-- file (\S+) -->\n```toml\n(.*?)```", re.DOTALL)
FLEETS = re.compile(
    r"(`plimsoll (fleet [^`\n]+)`\n<!-- output -->\n```text\n).*?(```\n<!-- /output -->)", re.DOTALL
)
FLEET_PAGE = "fleet.md"


def with_fleets(page: str, pictures: Path | None = None) -> str:
    """The page with what its fleets print now; `pictures` is a folder for what they draw, or None."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.chdir(folder)
            files = {"fleet.toml": fleet_example.text(), **dict(FLEET_FILE.findall(page))}
            for name, text in files.items():
                Path(name).write_text(text, encoding="utf-8")
            page = FLEETS.sub(lambda found: f"{found[1]}{printed(found[2])}{found[3]}", page)
            for picture in Path(folder).glob("*.svg") if pictures else ():
                shutil.copy(picture, pictures)
        finally:
            os.chdir(here)
    return page


PLANNED = re.compile(
    r"(`plimsoll (store-plan [^`\n]+)`\n<!-- output -->\n```text\n).*?(```\n<!-- /output -->)", re.DOTALL
)


def with_store_plans(page: str) -> str:
    """The page with what each shown store-plan prints now; no plan needs the network."""

    def answered(words: str) -> str:
        return CliRunner().invoke(cli, shlex.split(words)).output

    return PLANNED.sub(lambda found: f"{found[1]}{answered(found[2])}{found[3]}", page)


if __name__ == "__main__":
    fleets = DOCS / FLEET_PAGE
    fleets.write_text(with_fleets(fleets.read_text(encoding="utf-8"), DOCS), encoding="utf-8")
    for shown in (DOCS / TARGETS_PAGE, DOCS / TRAINING_PAGE):
        shown.write_text(with_launches(shown.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(with_first_output(README.read_text(encoding="utf-8")), encoding="utf-8")
    for command_name in COMMANDS:
        path = DOCS / f"{command_name}.md"
        path.write_text(updated(path.read_text(encoding="utf-8"), command_name), encoding="utf-8")
    load_page = DOCS / "load.md"
    load_page.write_text(with_launches(load_page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("speed.md", "scale.md"):
        page = DOCS / name
        page.write_text(with_outputs(page.read_text(encoding="utf-8")), encoding="utf-8")
    plan_page = DOCS / "store-plan.md"
    plan_page.write_text(with_store_plans(plan_page.read_text(encoding="utf-8")), encoding="utf-8")
