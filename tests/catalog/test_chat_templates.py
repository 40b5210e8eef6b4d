"""Chat formats of catalog models: each belongs to a model and names a source."""

from __future__ import annotations

import json

from plimsoll.catalog import chat_templates, models, sources


def test_each_entry_is_a_model_with_a_source() -> None:
    with open(chat_templates.PATH, "rb") as file:
        held = json.loads(file.read())
    assert set(held) <= set(models.find_all())
    for model_id in held:
        found = chat_templates.find(model_id)
        assert found is not None
        assert found.family
        assert sources.load_all([found.source])[0].url.endswith(".jinja")


def test_a_model_without_a_template_is_unknown() -> None:
    assert chat_templates.find("org/none") is None
