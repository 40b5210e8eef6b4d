"""The best choice of ways by CP-SAT of OR-Tools (the `fleet` extra): one aim after the other, each proven or
with its gap.

CP-SAT counts in whole numbers, so that an optimum is a proof without tolerances, and its deterministic time
makes a cut-off search end at the same place on every machine; one worker and a fixed seed do the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from plimsoll.core.fleet import Problem
from plimsoll.core.fleet_model import Aim, Linear, linear
from plimsoll.domain.fleet import Stage
from plimsoll.errors import BadSetting

_SEED = 7
EFFORT = 2.0
# No aim takes more than this share of what is left.
_MOST_SHARE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The chosen options by number, and what was proven of each aim; nothing chosen where `is_possible` is
    false (copies that must be placed have no place together)."""

    chosen: tuple[int, ...]
    stages: tuple[Stage, ...]
    is_possible: bool = True

    @property
    def is_proven(self) -> bool:
        """Whether no better choice exists."""
        return all(s.is_proven for s in self.stages)


def solve(problem: Problem, *, effort: float = EFFORT) -> Solution:
    """The lexicographically best choice.

    `effort` is CP-SAT's deterministic time for all aims together, a few seconds of one core each. Raises
    BadSetting where OR-Tools is not installed.
    """
    cp_model, rows = _library(), linear(problem)
    model, variables = _model(cp_model, rows)
    return _by_aims(cp_model, model, variables, rows, len(problem.options), effort)


def is_possible(problem: Problem, *, effort: float = EFFORT) -> bool:
    """Whether the copies that must be placed have places together; False also where the effort ran out."""
    cp_model, rows = _library(), linear(problem)
    model, _ = _model(cp_model, rows)
    return _solver(cp_model, effort).solve(model) in (cp_model.OPTIMAL, cp_model.FEASIBLE)


def cheapest(problem: Problem, *, effort: float = EFFORT) -> int | None:
    """The least that the copies that must be placed cost, without a budget and whatever their speed; None
    where they have no places."""
    tasks = tuple(replace(t, replicas=t.least, has_wish=False) for t in problem.tasks)
    found = solve(replace(problem, tasks=tasks, budget=None), effort=effort)
    return int(next((s.value for s in found.stages if s.aim == "cost"), 0)) if found.is_possible else None


def _model(cp_model: Any, rows: Linear) -> tuple[Any, list[Any]]:
    model = cp_model.CpModel()
    variables = [model.new_int_var(0, upper, "") for upper in rows.uppers]
    for row in rows.rows:
        total = _sum(cp_model, variables, row.terms)
        if row.high is not None:
            model.add(total <= row.high)
        if row.low is not None:
            model.add(total >= row.low)
    return model, variables


def _by_aims(
    cp_model: Any, model: Any, variables: Sequence[Any], rows: Linear, count: int, effort: float
) -> Solution:
    stages: list[Stage] = []
    values = [0] * len(variables)
    left = effort
    for aim in rows.aims:
        if not aim.terms:
            continue
        total = _sum(cp_model, variables, aim.terms)
        (model.maximize if aim.is_more_better else model.minimize)(total)
        solver = _solver(cp_model, _MOST_SHARE * left)
        status = solver.solve(model)
        left = max(left - solver.response_proto.deterministic_time, 0.05)
        if status == cp_model.INFEASIBLE:
            return Solution(chosen=(), stages=(), is_possible=False)
        if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            values = [solver.value(v) for v in variables]
        stages.append(_stage(aim, values, solver.best_objective_bound, status == cp_model.OPTIMAL))
        reached = int(stages[-1].value) - aim.constant
        model.add(total >= reached if aim.is_more_better else total <= reached)
        model.clear_hints()
        for variable, value in zip(variables, values, strict=True):
            model.add_hint(variable, value)
    return Solution(chosen=tuple(i for i in range(count) if values[i]), stages=tuple(stages))


def _stage(aim: Aim, values: Sequence[int], bound: float, is_proven: bool) -> Stage:
    value = aim.constant + sum(c * values[v] for v, c in aim.terms.items())
    bound = value if is_proven else aim.constant + bound
    return Stage(aim=aim.name, value=value, bound=bound, is_proven=is_proven)


def _sum(cp_model: Any, variables: Sequence[Any], terms: Any) -> Any:
    return cp_model.LinearExpr.weighted_sum([variables[v] for v in terms], list(terms.values()))


def _solver(cp_model: Any, effort: float) -> Any:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = _SEED
    solver.parameters.linearization_level = 2  # one worker finds good bounds only with the whole relaxation
    solver.parameters.max_deterministic_time = effort
    return solver


def _library() -> Any:
    try:
        from ortools.sat.python import cp_model
    except ImportError:
        raise BadSetting(
            "placing a fleet needs OR-Tools, which is not installed", hint="pip install 'plimsoll-llm[fleet]'"
        ) from None
    return cp_model
