"""The package itself exports its version and nothing else; the Python API is `plimsoll.ask`."""

import plimsoll


def test_the_public_face_is_small() -> None:
    modules = {name for name in vars(plimsoll) if hasattr(getattr(plimsoll, name), "__path__")}
    modules |= {name for name in ("units", "errors") if name in vars(plimsoll)}
    assert sorted(n for n in vars(plimsoll) if not n.startswith("__") and n not in modules) == []
    assert plimsoll.__version__.count(".") == 2
