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
    sessions = _endless(_Sessions(habit, seed))
    return _by_rate(arrivals, sessions, seed, mean_s=mean_s, together=together)


def by_users(habit: Habit, users_count: int, *, count: int, seed: int = 0) -> Iterator[Request]:
    """At most `count` requests of people who each ask, wait for the answer, think and ask again.

    User by user, each a session of the answer's `session` that never ends; their first requests come spread
    over one wait, each user's later ones `after_s` seconds after the answer. The prompts grow within a
    conversation, after which the next one begins anew.
    """
    start = Chance(seed, "starts")
    begins = sorted(start.share() * habit.wait_s for _ in range(users_count))
    shares = [count // users_count + (user < count % users_count) for user in range(users_count)]
    sessions = _Sessions(habit, seed)
    wait = Chance(seed, "between sessions")
    for user, (begin, most) in enumerate(zip(begins, shares, strict=True)):
        left = most
        while left > 0:
            first = left == most
            for turn in islice(sessions.drawn(), left):
                after = turn.after_s if turn.after_s is not None else wait.exponential(habit.wait_s)
                yield replace(
                    turn, arrival_s=begin, session=f"user {user + 1}", after_s=None if first else after
                )
                first = False
                left -= 1


def steady(
    habit: Habit, arrivals: Arrivals, *, count: int, answer_s: float, seed: int = 0
) -> tuple[list[Request], float]:
    """About `count` requests of a load that has gone on for ever, and the time from which on they come.

    At any moment rate / turns x (turns - 1) x wait sessions wait between two turns. Where the number of turns
    is geometric and waits are exponential, the turns before, those to come and the rest of the wait are
    distributed as in a fresh session. Requests before that time, one alone after the other, bring their
    histories into the cache, the one whose session comes back last first. Turns that would come after the
    last arrival, were each answered in `answer_s`, are left out. Beginnings are stretched so that the rate is
    what was asked for, however many requests the bursts happen to hold.
    """
    seconds = count / arrivals.rate_per_s
    sessions = _Sessions(habit, seed)
    begun = _waiting(habit, arrivals.rate_per_s, sessions, seed)
    primed = [_history(past, to_come[0]) for past, _, to_come in sorted(begun, key=lambda one: -one[1])]
    found = [replace(one, arrival_s=n * answer_s) for n, one in enumerate(primed)]
    begin = (len(found) + 1) * answer_s if found else 0.0
    starts = [(start, turns) for _, start, turns in begun if start <= seconds]
    together = habit.together_count
    mean_s = habit.turns_mean * together / arrivals.rate_per_s
    for start, turns in _begins(arrivals, _endless(sessions), seed, mean_s=mean_s, together=together):
        if start > seconds:
            break
        starts.append((start, turns))
    kept = [(start, _within(turns, seconds - start, answer_s)) for start, turns in starts]
    stretch = sum(len(turns) for _, turns in kept) / count
    for start, turns in sorted(kept, key=lambda one: one[0]):
        for place, turn in enumerate(turns):
            arrival_s = begin + start * stretch
            found.append(replace(turn, arrival_s=arrival_s, after_s=turn.after_s if place else None))
    return found, begin


def _within(turns: list[Request], seconds: float, answer_s: float) -> list[Request]:
    """The turns that come within so many seconds of the first, each answered in `answer_s`."""
    now = 0.0
    for place, turn in enumerate(turns[1:], start=1):
        now += (turn.after_s or 0.0) + answer_s
        if now > seconds:
            return turns[:place]
    return turns


def _waiting(
    habit: Habit, rate_per_s: float, sessions: _Sessions, seed: int
) -> list[tuple[list[Request], float, list[Request]]]:
    """Sessions between two turns: (the turns before, when the next one comes, it and those after it)."""
    wait, turns = Chance(seed, "waits under way"), Chance(seed, "turns under way")
    found = []
    for _ in range(round(rate_per_s / habit.turns_mean * (habit.turns_mean - 1) * habit.wait_s)):
        before, after = turns.geometric(habit.turns_mean), turns.geometric(habit.turns_mean)
        session = sessions.drawn(before + after)
        found.append((session[:before], wait.exponential(habit.wait_s), session[before:]))
    return found


def _history(turns: Sequence[Request], following: Request) -> Request:
    """A request that computes all that was said before the next one."""
    last = turns[-1]
    prompt = last.prompt_tokens + last.output_tokens
    names = following.prefix_blocks[: prompt // BLOCK_TOKENS]
    return replace(last, prompt_tokens=prompt, output_tokens=1, prefix_blocks=names, after_s=None)


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
    """The requests of sessions that begin by the pattern."""
    for start, turns in _begins(arrivals, sessions, seed, mean_s=mean_s, together=together):
        for turn in turns:
            yield replace(turn, arrival_s=start)


def _begins(
    arrivals: Arrivals, sessions: Iterator[list[Request]], seed: int, *, mean_s: float, together: int
) -> Iterator[tuple[float, list[Request]]]:
    """(when, session): `together` sessions at once, `mean_s` seconds apart on average."""
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
            yield now, session


class _Sessions:
    """Sessions one after the other, each a list of turns at time 0; `count` of them where it is told."""

    def __init__(self, habit: Habit, seed: int) -> None:
        self._habit, self._number = habit, 0
        self._turns, self._wait = Chance(seed, "turns"), Chance(seed, "waits")
        self._new, self._output = Chance(seed, "new"), Chance(seed, "output")

    def drawn(self, count: int = 0) -> list[Request]:
        habit, number = self._habit, self._number
        count = min(count or self._turns.geometric(habit.turns_mean), _MOST_TURNS)
        said = [(_length(habit.new, self._new), _length(habit.output, self._output)) for _ in range(count)]
        self._number += 1
        return list(_turns(said, habit.shared_tokens, number, f"{number + 1}", self._wait, habit.wait_s))


def _endless(sessions: _Sessions) -> Iterator[list[Request]]:
    while True:
        yield sessions.drawn()


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
