"""The command of `transformers serve`, in words that the released one takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plimsoll.domain.deployment import Adapter, Deployment, Setting
from plimsoll.domain.launch import Serving
from plimsoll.errors import BadSetting
from plimsoll.runtimes.transformers import memory
from plimsoll.runtimes.transformers.launch import WITHOUT_FLAG, makes
from tests.runtimes.deployments import deployment
from tests.runtimes.launched import launched, recorded, refused, value

PUBLISHED = Serving(model_path="Qwen/Qwen3-8B", served_name="x")


def wanted(on: str = "2x rtx-3090", *, kv: str = "auto", **settings: Setting) -> Deployment:
    return deployment("transformers", "Qwen/Qwen3-8B", on, split="layer", kv=kv, **settings)


@pytest.mark.parametrize("release", ["5.23.0", "5.24.0"])
def test_the_released_command_takes_every_option(release: str) -> None:
    options = recorded(f"transformers-{release}")["options"]
    cases = [wanted(), wanted(attn_implementation="eager"), wanted(kv="bf16")]
    cases += [replace(wanted(), weight_format=name) for name in ("bnb_nf4", "bnb_int8", "f32")]
    for case in cases:
        assert refused(launched(case, PUBLISHED), options) == []
    words = [value(launched(case, PUBLISHED), "--quantization") for case in cases]
    assert words == [None, None, None, "bnb-4bit", "bnb-8bit", None]


@pytest.mark.parametrize("name", memory.DEFAULTS)
def test_every_setting_reaches_the_command_or_is_refused(name: str) -> None:
    if name in WITHOUT_FLAG:
        with pytest.raises(BadSetting, match=name):
            launched(wanted(**{name: 512}))
        return
    assert launched(wanted(**{name: "eager"})).flags != launched(wanted()).flags


def test_what_no_option_says_is_refused() -> None:
    with pytest.raises(BadSetting, match="no option keeps the cache in f32"):
        launched(wanted(kv="f32"))
    with pytest.raises(BadSetting, match="no option for adapters"):
        launched(replace(wanted(), adapters=(Adapter(id="a", rank=8, size_bytes=1),)))
    packed = replace(wanted(), weight_format="awq")
    assert not makes(packed)
    with pytest.raises(BadSetting, match="makes no awq"):
        launched(packed, PUBLISHED)
    assert launched(packed).program == ("transformers", "serve", "org/some model")


@pytest.mark.oracle
def test_transformers_itself_parses_the_command() -> None:
    """The installed release's own parser; it refuses what it does not know."""
    click = pytest.importorskip("click")
    app = pytest.importorskip("transformers.cli.transformers").app
    serve = app.get_command(click.Context(app), "serve")
    for name in ("", "bnb_nf4", "bnb_int8", "f32"):
        words = launched(replace(wanted(), weight_format=name), PUBLISHED).arguments[2:]
        told = serve.make_context("serve", list(words)).params
        assert told["force_model"] == "Qwen/Qwen3-8B"
        assert told["quantization"] == {"bnb_nf4": "bnb-4bit", "bnb_int8": "bnb-8bit"}.get(name)
    with pytest.raises(Exception, match="No such option"):
        serve.make_context("serve", ["model", "--no-such-option"])
