"""TabbyAPI's config.yml under the keys of its config models."""

from __future__ import annotations

from dataclasses import replace

import yaml

from plimsoll.domain.launch import Serving
from tests.core.launch_files import HOSTILE, made, wanted
from tests.runtimes.launched import recorded


def test_keys_are_tabbyapis_and_values_have_their_kinds() -> None:
    options = recorded("tabbyAPI-e632af41eba6")["options"]
    found = wanted("exllama")
    for case in (found, replace(found, split=replace(found.split, kind="tensor"))):
        read = yaml.safe_load(made("tabbyapi", case).files[0].text)
        for section, keys in read.items():
            for key, value in keys.items():
                takes = options[f"{section}.{key}"]
                kind = {"int": int, "float": (int, float), "switch": bool, "list": list}.get(str(takes), str)
                assert isinstance(value, kind), key
    assert yaml.safe_load(made("tabbyapi", found).files[0].text)["model"]["autosplit_reserve"] == [512, 512]


def test_hostile_paths_stay_what_they_are() -> None:
    name = "".join(c for c in HOSTILE[:-1] if "/" not in c)
    serving = Serving(model_path=f"/m/{name}", served_name="x")
    read = yaml.safe_load(made("tabbyapi", wanted("exllama"), serving).files[0].text)
    assert (read["model"]["model_dir"], read["model"]["model_name"]) == ("/m", name)
