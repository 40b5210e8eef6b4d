"""What a person set (`--set NAME=VALUE`), held against a runtime's own settings."""

from __future__ import annotations

from collections.abc import Mapping

from plimsoll.domain.deployment import Setting
from plimsoll.errors import BadSetting, choices_hint
from plimsoll.units import parse_bytes

_MOST = 2**50


def checked(
    settings: Mapping[str, Setting],
    defaults: Mapping[str, Setting],
    limits: Mapping[str, tuple[float, float]],
    *,
    runtime: str,
) -> dict[str, Setting]:
    """The settings in the kind of their defaults; BadSetting for unknown names, kinds and ranges.

    `limits` are (least, most) per name; other numbers are 0 to 2^50. Names ending in `_bytes` may be written
    as sizes ('10GiB'). A setting whose default is a word is left to the runtime.
    """
    found: dict[str, Setting] = {}
    for name, value in settings.items():
        if name not in defaults:
            raise BadSetting(
                f"{runtime} has no setting {name!r} that Plimsoll knows",
                hint=choices_hint(name, defaults, "--set"),
            )
        default = defaults[name]
        if isinstance(default, bool):
            found[name] = _switch(name, value)
        elif isinstance(default, str):
            found[name] = value
        else:
            if name.endswith("_bytes") and isinstance(value, str):
                value = parse_bytes(value)
            least, most = limits.get(name, (0, _MOST))
            found[name] = _number(name, value, least, most, is_whole=isinstance(default, int))
    return found


def _switch(name: str, value: Setting) -> bool:
    if value not in (0, 1):
        raise BadSetting(f"{name} is on or off, not {value!r}", hint=f"--set {name}=on")
    return bool(value)


def _number(name: str, value: Setting, least: float, most: float, *, is_whole: bool) -> int | float:
    kind = "a whole number" if is_whole else "a number"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= float(value) <= most or (is_whole and float(value) % 1):
        # A NaN fails the comparison, too.
        shown = f"of at least {least:g}" if most == _MOST else f"from {least:g} to {most:g}"
        raise BadSetting(f"{name} is {kind} {shown}, not {value!r}", hint=f"--set {name}=NUMBER")
    return int(value) if is_whole else float(value)
