"""The blocks of a paged KV cache, and the prefixes that stay in those that are free.

Blocks whose request is gone keep their content until somebody needs them: empty ones are given out first,
then those that were freed longest ago (vLLM 0.33 vllm/v1/core/block_pool.py; SGLang's radix cache evicts its
least recently used leaves).
"""

from __future__ import annotations

from collections import OrderedDict

from plimsoll.domain.traffic import Request


class Pool:
    """`blocks_count` blocks of `block_tokens`. A named piece is the beginning of a prompt, a whole number of
    blocks, known by the chain of names that leads to it."""

    def __init__(self, blocks_count: int, block_tokens: int, *, has_cache: bool) -> None:
        self.blocks_count, self.block_tokens, self.has_cache = blocks_count, block_tokens, has_cache
        self.free = blocks_count
        self._empty = blocks_count
        self._kept: OrderedDict[int, int] = OrderedDict()  # freed but known: blocks by key, oldest first
        self._holders: dict[int, int] = {}
        self._chain: dict[tuple[int, int], int] = {}

    def names(self, request: Request) -> tuple[int, ...]:
        """The named pieces of a prompt, in order; none where nothing is cached or named."""
        if not self.has_cache or not request.prefix_blocks:
            return ()
        group = self.group(request)
        found, before = [], -1
        names = request.prefix_blocks
        for start in range(0, len(names) - group + 1, group):
            for name in names[start : start + group]:
                before = self._chain.setdefault((before, name), len(self._chain))
            found.append(before)
        return tuple(found[: request.prompt_tokens // self.piece_tokens(request)])

    def group(self, request: Request) -> int:
        """How many of the request's names make a piece of at least one block."""
        return max(-(-self.block_tokens // request.prefix_block_tokens), 1)

    def piece_tokens(self, request: Request) -> int:
        """Tokens of a piece: whole blocks."""
        named = self.group(request) * request.prefix_block_tokens
        return named // self.block_tokens * self.block_tokens

    def matched(self, ids: tuple[int, ...]) -> int:
        """How many pieces from the first on are in the cache."""
        for count, piece in enumerate(ids):
            if piece not in self._holders and _named(piece) not in self._kept:
                return count
        return len(ids)

    def idle(self, ids: tuple[int, ...]) -> int:
        """How many of them nobody holds: they count as free until somebody does."""
        return sum(piece not in self._holders for piece in ids)

    def hold(self, ids: tuple[int, ...], piece_blocks: int) -> None:
        """Hold pieces that are in the cache."""
        for piece in ids:
            if piece in self._holders:
                self._holders[piece] += 1
            else:
                self._holders[piece] = 1
                self.free -= piece_blocks
                del self._kept[_named(piece)]

    def name(self, piece: int) -> bool:
        """Make a piece that a request just computed known; False where it was already."""
        if piece in self._holders or _named(piece) in self._kept:
            return False
        self._holders[piece] = 1
        return True

    def let_go(self, ids: tuple[int, ...], piece_blocks: int) -> None:
        """The opposite of `hold`: the last pieces are forgotten first."""
        for piece in reversed(ids):
            if self._holders[piece] > 1:
                self._holders[piece] -= 1
            else:
                del self._holders[piece]
                self.free += piece_blocks
                self._kept[_named(piece)] = piece_blocks

    def take(self, blocks: int) -> None:
        """Take free blocks, empty ones first; the caller has looked that there are enough."""
        self.free -= blocks
        self._empty -= blocks
        if self._empty < 0:
            self._settle()

    def put_back(self, blocks: int, number: int, *, is_kept: bool = True) -> None:
        """Free a request's own blocks; `reclaim` may find them while nobody needs them."""
        self.free += blocks
        if is_kept and self.has_cache and blocks:
            self._kept[_own(number)] = blocks + self._kept.pop(_own(number), 0)
        else:
            self._empty += blocks

    def kept(self, number: int) -> int:
        """Blocks of a preempted request that are still there."""
        return self._kept.get(_own(number), 0)

    def reclaim(self, number: int) -> int:
        """Take them back; how many."""
        found = self._kept.pop(_own(number), 0)
        self.free -= found
        return found

    def _settle(self) -> None:
        """Forget the oldest until no more blocks are given out than there are."""
        while self._empty < 0:
            key, blocks = next(iter(self._kept.items()))
            if key % 2 == 0 or blocks <= -self._empty:  # half a named piece is of no use
                del self._kept[key]
                self._empty += blocks
            else:
                self._kept[key] = blocks + self._empty
                self._empty = 0


def _named(piece: int) -> int:
    return 2 * piece


def _own(number: int) -> int:
    return 2 * number + 1
