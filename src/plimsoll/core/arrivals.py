"""Who asks a server what and when: requests by a pattern, the same ones for one seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from plimsoll.core.chance import Chance
from plimsoll.domain.traffic import Conversation, Habit, Lengths, Request

# Tokens named by one prefix block of a pattern's prompts.
BLOCK_TOKENS = 128
_MOST_TURNS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """When sessions begin: `rate_per_s` requests a second on the long average, or `users_count` people who
    each begin the next session when the one before has ended.

    The waits between beginnings are gamma distributed with mean 1/rate and a deviation of `burstiness` times
    that: 1 is a Poisson process, 0 a clock, more comes in bursts.
    """

    rate_per_s: float = 0.0
    users_count: int = 0
    burstiness: float = 1.0

    def __post_init__(self) -> None:
        if (self.rate_per_s > 0) == (self.users_count > 0) or self.burstiness < 0:
            raise ValueError("arrivals are by a rate above 0 or by users, not both")


def requests(habit: Habit, arrivals: Arrivals, *, seed: int = 0) -> Iterator[Request]:
    """Endless requests in the order of `arrival_s`; the caller stops when it has enough.

    Of users only those who are there from the start can be told: see `by_users`.
    """
    if not arrivals.rate_per_s:
        raise ValueError("users' requests are counted: by_users")
    together = habit.together_count
    mean_s = habit.turns_mean * together / arrivals.rate_per_s
    return _by_rate(arrivals, _sessions(habit, seed), seed, mean_s=mean_s, together=together)


def by_users(habit: Habit, users_count: int, *, count: int, seed: int = 0) -> Iterator[Request]:
    """At most `count` requests of people who each ask, wait for the answer, think and ask again.

    User by user, each a session of the answer's `session` that never ends; their first requests come spread
    over one wait, each user's later ones `after_s` seconds after the answer. The prompts grow within a
    conversation, after which the next one begins anew.
    """
    start = Chance(seed, "starts")
    begins = sorted(start.share() * habit.wait_s for _ in range(users_count))
    shares = [count // users_count + (user < count % users_count) for user in range(users_count)]
    sessions = _sessions(habit, seed)
    wait = Chance(seed, "between sessions")
    for user, (begin, most) in enumerate(zip(begins, shares, strict=True)):
        left = most
        while left > 0:
            first = left == most
            for turn in islice(next(sessions), left):
                after = turn.after_s if turn.after_s is not None else wait.exponential(habit.wait_s)
                yield replace(
                    turn, arrival_s=begin, session=f"user {user + 1}", after_s=None if first else after
                )
                first = False
                left -= 1


def of_conversations(
    talks: Iterable[Conversation], arrivals: Arrivals, *, wait_s: float, seed: int = 0
) -> Iterator[Request]:
    """Conversations without times, each begun by the pattern, with a mean of `wait_s` between its turns.

    `rate_per_s` counts conversations here: how many turns they have is only known at their end.
    """
    if not arrivals.rate_per_s:
        raise ValueError("conversations begin by a rate")
    wait = Chance(seed, "waits")
    sessions = (
        list(_turns(talk.turns, 0, number, talk.name, wait, wait_s)) for number, talk in enumerate(talks)
    )
    return _by_rate(arrivals, sessions, seed, mean_s=1 / arrivals.rate_per_s)


def faster(trace: Iterable[Request], factor: float) -> Iterator[Request]:
    """The same requests, `factor` times as many a second; waits for answers stay as they were."""
    if factor <= 0:
        raise ValueError("the factor is above 0")
    return (replace(request, arrival_s=request.arrival_s / factor) for request in trace)


def _by_rate(
    arrivals: Arrivals, sessions: Iterator[list[Request]], seed: int, *, mean_s: float, together: int = 1
) -> Iterator[Request]:
    """`together` sessions at once, `mean_s` seconds apart on average."""
    chance, spread = Chance(seed, "arrivals"), arrivals.burstiness
    now = 0.0
    while True:
        if spread == 0:
            now += mean_s
        elif spread == 1:
            now += chance.exponential(mean_s)
        else:
            now += chance.gamma(spread**-2) * spread**2 * mean_s
        begun = list(islice(sessions, together))
        if not begun:
            return
        for session in begun:
            for turn in session:
                yield replace(turn, arrival_s=now)


def _sessions(habit: Habit, seed: int) -> Iterator[list[Request]]:
    """Sessions one after the other, each a list of turns at time 0."""
    turns, wait = Chance(seed, "turns"), Chance(seed, "waits")
    new, output = Chance(seed, "new"), Chance(seed, "output")
    number = 0
    while True:
        count = min(turns.geometric(habit.turns_mean), _MOST_TURNS)
        said = tuple((_length(habit.new, new), _length(habit.output, output)) for _ in range(count))
        yield list(_turns(said, habit.shared_tokens, number, f"{number + 1}", wait, habit.wait_s))
        number += 1


def _length(lengths: Lengths, chance: Chance) -> int:
    drawn = chance.lognormal(lengths.p50_tokens, lengths.p95_tokens)
    return min(max(round(drawn), 1), lengths.most_tokens)


def _turns(
    said: Sequence[tuple[int, int]], shared: int, number: int, name: str, wait: Chance, wait_s: float
) -> Iterator[Request]:
    """Prompts that grow: what all share, all that was said before, and the new text."""
    history, common = shared, shared // BLOCK_TOKENS
    first = number << 32
    for place, (new, output) in enumerate(said):
        prompt = history + new
        # Names below 0 are common to all sessions; a session's own ones serve only its later turns.
        own = prompt // BLOCK_TOKENS - common if len(said) > 1 else 0
        names = (*range(-common, 0), *range(first, first + own))
        yield Request(
            arrival_s=0.0, prompt_tokens=prompt, output_tokens=output, session=name, prefix_blocks=names,
            prefix_block_tokens=BLOCK_TOKENS, after_s=wait.exponential(wait_s) if place else None,
        )  # fmt: skip
        history = prompt + output
