"""A fleet described in a TOML file: tables become a Fleet; unknown keys and names are errors."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from typing import Any, get_args

from plimsoll.domain.fleet import Fleet, FleetMachine, FleetRole, Processor
from plimsoll.errors import BadSetting, CatalogError, PlimsollError, UnknownName, choices_hint
from plimsoll.units import (
    CURRENCIES,
    Money,
    parse_bytes,
    parse_money,
    parse_seconds,
    parse_share,
    parse_tokens,
)

_EXAMPLE = "plimsoll fleet --example prints a whole file"
_MOST_COUNT, _MOST_HOURS = 64, 744
# Key in the file -> (field, how its value is read).
_MACHINE_KEYS = {
    "name": ("name", "text"), "is": ("spec", "text"), "count": ("count", "count"), "rent": ("rent", "rent"),
    "hours": ("hours", "hours"), "watts": ("watts", "whole"), "busy": ("busy_share", "share"),
    "electricity": ("electricity", "power price"), "in_house": ("is_in_house", "yes_no"),
}  # fmt: skip
_ROLE_KEYS = {
    "name": ("name", "text"), "model": ("models", "names"), "models": ("models", "names"),
    "weights": ("weights", "names"), "runtime": ("runtime", "text"), "kv": ("kv", "text"),
    "memory": ("memory_bytes", "size"), "context": ("context_tokens", "tokens"), "users": ("users", "whole"),
    "prompt": ("prompt_tokens", "tokens"), "min_tps": ("min_tokens_per_s", "number"),
    "max_ttft": ("max_first_token_s", "seconds"), "priority": ("priority", "whole"),
    "replicas": ("replicas", "count"), "busy": ("busy_share", "share"), "hours": ("hours", "hours"),
    "processor": ("processor", "processor"), "private": ("is_private", "yes_no"),
    "alone": ("is_alone", "yes_no"), "on": ("machines", "names"), "apart_from": ("apart_from", "names"),
    "together_with": ("together_with", "names"), "needs": ("needs", "names"),
    "max_price": ("max_price", "month price"),
}  # fmt: skip
_FLEET_KEYS = ("currency", "electricity", "budget", "rates", "machine", "role")
_ABOUT_ROLES = ("apart_from", "together_with", "needs")


def parse(text: str, *, where: str) -> Fleet:
    """The fleet in a TOML text.

    Raises CatalogError (syntax with its line, unknown keys), BadSetting (impossible values, cycles, mixed
    currencies) and UnknownName (a role or machine that is not in the file), each naming `where` and the key.
    """
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        lines = len(text.splitlines())
        says = str(error).replace("at end of document", f"at line {lines}, the end of the file")
        raise CatalogError(f"{where}: {says}", hint=_EXAMPLE) from error
    return fleet_from(data, where=where)


def fleet_from(data: Mapping[str, Any], *, where: str) -> Fleet:
    """The fleet in a parsed file; errors as `parse` raises them."""
    for key in data:
        if key not in _FLEET_KEYS:
            raise CatalogError(f"{where}: unknown key {key!r}", hint=choices_hint(key, sorted(_FLEET_KEYS)))
    machines = [_machine(t, f"{where}#machine[{i}]") for i, t in enumerate(_tables(data, where, "machine"))]
    roles = [_role(t, f"{where}#role[{i}]") for i, t in enumerate(_tables(data, where, "role"))]
    _check_names(machines, roles, where)
    electricity = _optional(data, "electricity", "power price", where)
    budget = _optional(data, "budget", "month price", where)
    rates = _rates(data.get("rates", {}), f"{where}#rates")
    named = _told_currency(data, where)
    fleet = Fleet(
        machines=tuple(machines), roles=tuple(roles), currency=named, rates=rates, electricity=electricity,
        budget=budget,
    )  # fmt: skip
    return _in_one_currency(fleet, where)


def _tables(data: Mapping[str, Any], where: str, name: str) -> list[Mapping[str, Any]]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise CatalogError(f"{where}: write each {name} as a [[{name}]] table", hint=_EXAMPLE)
    if not value:
        raise CatalogError(f"{where}: there is no [[{name}]] in it", hint=_EXAMPLE)
    if len(value) > _MOST_COUNT:
        raise BadSetting(
            f"{where}: {len(value)} {name}s, and I place at most {_MOST_COUNT}", hint="split the file"
        )
    return value


def _machine(table: Mapping[str, Any], where: str) -> FleetMachine:
    values = _read(table, _MACHINE_KEYS, where)
    for key, name in (("name", "name"), ("is", "spec")):
        if not values.get(name):
            raise CatalogError(f"{where}: {key} missing", hint='such as name = "box", is = "2x rtx-3090"')
    rent = values.pop("rent", False)
    money = rent if isinstance(rent, Money) else None
    rented = rent is True or money is not None
    values.setdefault("is_in_house", not rented)
    return FleetMachine(**values, rent=money, is_rented=rented)


def _role(table: Mapping[str, Any], where: str) -> FleetRole:
    if "model" in table and "models" in table:
        raise CatalogError(f"{where}: model and models are both given", hint="write models = [...] alone")
    values = _read(table, _ROLE_KEYS, where)
    if not values.get("name"):
        raise CatalogError(f"{where}: name missing", hint='such as name = "coder"')
    if ("memory_bytes" in values) == bool(values.get("models")):
        what = "both a model and a memory" if values.get("models") else "neither a model nor a memory"
        raise CatalogError(f"{where} has {what}", hint='model = "qwen3-30b-a3b", or memory = "3GiB"')
    if "memory_bytes" in values:
        _check_memory_role(table, where)
    if values.get("memory_bytes") == 0:
        raise BadSetting(f"{where}.memory: a model takes more than nothing", hint='memory = "3GiB"')
    role = FleetRole(**values)
    for key in _ABOUT_ROLES:
        if role.name in getattr(role, key):
            raise BadSetting(f"{where}.{key}: {role.name} names itself", hint=f"leave it out of {key}")
    both = set(role.apart_from) & set(role.together_with)
    if both:
        raise BadSetting(
            f"{where}: {role.name} is to be apart from {min(both)} and together with it", hint="keep one"
        )
    return role


def _check_memory_role(table: Mapping[str, Any], where: str) -> None:
    """What only a model gives a meaning to."""
    told = [k for k in ("weights", "kv", "runtime", "context", "min_tps", "max_ttft") if k in table]
    if told:
        raise BadSetting(
            f"{where}: {told[0]} says nothing of a role that is only a memory",
            hint="give it a model, or leave it out",
        )


def _check_names(machines: Sequence[FleetMachine], roles: Sequence[FleetRole], where: str) -> None:
    for kind, names in (("machine", [m.name for m in machines]), ("role", [r.name for r in roles])):
        for name in names:
            if names.count(name) > 1:
                raise BadSetting(f"{where}: two {kind}s are called {name!r}", hint="give each its own name")
    known_roles, known_machines = [r.name for r in roles], [m.name for m in machines]
    for role in roles:
        for key in _ABOUT_ROLES:
            _check_known(getattr(role, key), known_roles, "role", f"{where}: {role.name}.{key}")
        _check_known(role.machines, known_machines, "machine", f"{where}: {role.name}.on")
    if sum(m.count for m in machines) > _MOST_COUNT or sum(r.replicas for r in roles) > 2 * _MOST_COUNT:
        most = f"{_MOST_COUNT} machines and {2 * _MOST_COUNT} copies of roles"
        raise BadSetting(f"{where}: more than I place at once", hint=f"at most {most}")
    cycle = _cycle({r.name: r.needs for r in roles})
    if cycle:
        raise BadSetting(
            f"{where}: the needs go in a circle: {' -> '.join(cycle)}",
            hint=f"take one out of needs: {cycle[0]}",
        )


def _check_known(names: Sequence[str], known: Sequence[str], kind: str, where: str) -> None:
    for name in names:
        if name not in known:
            raise UnknownName(
                f"{where}: there is no {kind} {name!r}", name=name, nearest=tuple(known),
                hint=choices_hint(name, known),
            )  # fmt: skip


def _cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """The first circle as names, the first one again at the end; [] where there is none."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))  # it lists what is needed before what needs it
    return []


def _told_currency(data: Mapping[str, Any], where: str) -> str:
    named = data.get("currency", "")
    if named != "" and named not in CURRENCIES:
        raise BadSetting(f"{where}#currency: {named!r} is no currency I know", hint=f"one of {CURRENCIES}")
    return str(named)


def _rates(value: Any, where: str) -> dict[str, float]:
    """[rates] EUR = 1.08: what one euro is in the fleet's currency."""
    if not isinstance(value, dict):
        raise CatalogError(f"{where}: write it as a [rates] table", hint="[rates] with EUR = 1.08")
    for key in value:
        if key not in CURRENCIES:
            raise BadSetting(f"{where}: {key!r} is no currency I know", hint=choices_hint(key, CURRENCIES))
    return {key: _value(rate, "number", f"{where}.{key}") for key, rate in value.items()}


def _in_one_currency(fleet: Fleet, where: str) -> Fleet:
    """Every price in the fleet's currency: the named one, else the only one there is."""
    prices = [m for x in fleet.machines for m in (x.rent, x.electricity)]
    prices += [r.max_price for r in fleet.roles] + [fleet.electricity, fleet.budget]
    found = list(dict.fromkeys(p.currency for p in prices if p))
    currency = fleet.currency or (found[0] if len(found) == 1 else "")
    if not currency and found:
        first = found[0]
        raise BadSetting(
            f"{where}: prices in {' and '.join(found)}; nothing is converted unless a rate is given",
            hint=f'currency = "{first}" and [rates] with {found[1]} = (what one {found[1]} is in {first})',
        )

    def told(money: Money | None) -> Money | None:
        if money is None or money.currency == currency:
            return money
        if money.currency not in fleet.rates:
            raise BadSetting(
                f"{where}: a price in {money.currency}, and the fleet counts in {currency}",
                hint=f"[rates] with {money.currency} = (what one {money.currency} is in {currency})",
            )
        return Money(amount=money.amount * fleet.rates[money.currency], currency=currency, per=money.per)

    machines = [replace(m, rent=told(m.rent), electricity=told(m.electricity)) for m in fleet.machines]
    return replace(
        fleet, currency=currency, electricity=told(fleet.electricity), budget=told(fleet.budget),
        machines=tuple(machines),
        roles=tuple(replace(r, max_price=told(r.max_price)) for r in fleet.roles),
    )  # fmt: skip


def _optional(data: Mapping[str, Any], key: str, kind: str, where: str) -> Any:
    return _value(data[key], kind, f"{where}#{key}") if key in data else None


def _read(table: Mapping[str, Any], keys: Mapping[str, tuple[str, str]], where: str) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in keys:
            raise CatalogError(f"{where}: unknown key {key!r}", hint=choices_hint(key, sorted(keys)))
        name, kind = keys[key]
        values[name] = _value(value, kind, f"{where}.{key}")
    return values


def _value(value: Any, kind: str, where: str) -> Any:
    """A value of the kind a key asks for; BadSetting where it is none."""
    try:
        found = _READERS[kind](value)
    except PlimsollError as error:
        raise BadSetting(f"{where}: {error.message}", hint=error.hint) from error
    if found is None:
        raise BadSetting(f"{where}: {value!r} is not {_EXPECTED[kind]}", hint=_EXAMPLE)
    return found


def _text(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) and value.strip() else None


def _names(value: Any) -> tuple[str, ...] | None:
    """A name or a list of names; '' among weights is the format as published."""
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list) or not listed or not all(isinstance(v, str) for v in listed):
        return None
    names = tuple(v.strip() for v in listed)
    if len(set(names)) < len(names) or not all(names):
        return None
    return names


def _whole(value: Any, most: int = 10**6) -> int | None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return value if is_whole and 1 <= value <= most else None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) and 0 < value < 1e12 else None


def _share(value: Any) -> float | None:
    if isinstance(value, str):
        low, high = parse_share(value)
        return high if low == high and high > 0 else None
    number = _number(value)
    return number if number is not None and number <= 1 else None


def _tokens(value: Any) -> int | None:
    return parse_tokens(value) if isinstance(value, str) else _whole(value, 2**40)


def _seconds(value: Any) -> float | None:
    return parse_seconds(value) if isinstance(value, str) else _number(value)


def _size(value: Any) -> int | None:
    return parse_bytes(value) if isinstance(value, str) else None


def _rent(value: Any) -> Money | bool | None:
    if isinstance(value, bool):
        return value
    return parse_money(value, per=("hour", "day", "month", "year")) if isinstance(value, str) else None


def _price(*per: str) -> Callable[[Any], Money | None]:
    return lambda value: parse_money(value, per=per) if isinstance(value, str) else None


_READERS: dict[str, Callable[[Any], Any]] = {
    "text": _text, "names": _names, "whole": _whole, "count": lambda v: _whole(v, _MOST_COUNT),
    "hours": lambda v: _whole(v, _MOST_HOURS), "number": _number, "share": _share, "tokens": _tokens,
    "seconds": _seconds, "size": _size, "yes_no": lambda v: v if isinstance(v, bool) else None,
    "rent": _rent, "power price": _price("kWh"), "month price": _price("month"),
    "processor": lambda v: v if v in get_args(Processor) else None,
}  # fmt: skip
_EXPECTED = {
    "text": "text in quotes", "names": 'a name or a list of different names such as ["q8_0", "q4_k_m"]',
    "whole": "a whole number above 0", "count": f"a whole number from 1 to {_MOST_COUNT}",
    "hours": f"hours of a month, from 1 to {_MOST_HOURS}", "number": "a number above 0",
    "share": 'a share above 0 such as 0.2 or "20%"', "tokens": 'tokens such as 32768 or "32k"',
    "seconds": 'a time such as "2s" or "500ms"', "size": 'a size in quotes such as "3GiB"',
    "yes_no": "true or false", "rent": 'a rent such as "2.65USD/h", or true for the catalog\'s',
    "power price": 'a price such as "0.30EUR/kWh"', "month price": 'a price such as "400USD/month"',
    "processor": "auto, gpu, cpu or any",
}  # fmt: skip
