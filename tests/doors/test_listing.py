import json

import pytest
from click.testing import CliRunner

from plimsoll.doors.cli.main import cli


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["models", "qwen3-72b"], "Qwen/Qwen3"),
        (["devices", "rtx-3095"], "rtx-3090"),
        (["models", "zzz", "b"], ""),
    ],
)
def test_no_match_is_said_with_the_nearest_and_exits_with_1(words, nearest):
    found = CliRunner().invoke(cli, words)
    assert (found.exit_code, found.stdout) == (1, "")
    assert f"contains {' and '.join(words[1:])}" in found.stderr
    assert nearest in found.stderr
    as_json = CliRunner().invoke(cli, [*words, "--json"])
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (1, [])


def test_all_words_count():
    found = CliRunner().invoke(cli, ["models", "QWEN3", "coder"])
    assert found.exit_code == 0
    ids = found.stdout.split()
    assert ids
    assert all("qwen3" in i.lower() and "coder" in i.lower() for i in ids)
