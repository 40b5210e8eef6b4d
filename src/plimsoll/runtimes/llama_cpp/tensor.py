"""Tensors without data: as much of a ggml graph as the size of its buffer depends on.

Weights and caches lie in other buffers and do not appear. Operations that overwrite their source in place
(a bias, a scale, the weight of a norm) are left out where that source has no other reader: they change
nothing. What remains are the tensors that take memory, the views that hold it, and the order in which
`ggml_build_forward_expand` lists them (ggml/src/ggml.c of ggml-org/llama.cpp@0c1e57098).
Dimensions are ggml's: the first is the innermost.
"""

from __future__ import annotations

from math import prod

Dims = tuple[int, ...]

WIDTHS = {"f32": 4, "f16": 2, "i32": 4, "i64": 8}


class Tensor:
    """One tensor of a graph; `root` is the tensor that a view looks into.

    Mutable on purpose: a graph of a hundred nodes is built and allocated for every context that is tried.
    """

    __slots__ = (
        "address",
        "children_count",
        "is_leaf",
        "is_output",
        "is_owned",
        "is_seen",
        "may_reuse",
        "ne",
        "root",
        "size_bytes",
        "sources",
        "views_count",
        "width",
    )

    def __init__(
        self,
        ne: Dims,
        sources: tuple[Tensor, ...],
        *,
        width: int = 4,
        root: Tensor | None = None,
        may_reuse: bool = False,
        is_leaf: bool = False,
    ) -> None:
        self.ne = ne
        self.width = width
        self.size_bytes = 0 if root is not None else prod(ne) * width
        self.sources = sources
        self.root = root
        self.may_reuse = may_reuse
        self.is_leaf = is_leaf
        self.is_output = self.is_owned = self.is_seen = False
        self.children_count = self.views_count = 0
        self.address = 0


# What views of weights and caches look into: memory that is not the graph's.
ELSEWHERE = Tensor((0,), ())


def leaf(*ne: int, width: int = 4) -> Tensor:
    """An input that is filled before each run."""
    return Tensor(ne, (), width=width, is_leaf=True)


def fresh(ne: Dims, *sources: Tensor, width: int = 4) -> Tensor:
    """The result of an operation that needs its own memory."""
    return Tensor(ne, sources, width=width)


def same(a: Tensor, *others: Tensor) -> Tensor:
    """The result of an operation that may overwrite a source of its shape (ggml_op_can_inplace)."""
    return Tensor(a.ne, (a, *others), width=a.width, may_reuse=True)


def view(a: Tensor, *ne: int) -> Tensor:
    """The same memory, or a part of it, under other dimensions."""
    return Tensor(ne or a.ne, (a,), width=a.width, root=a.root or a)


def store(*sources: Tensor) -> Tensor:
    """A write into a cache: nothing is allocated, the sources are free afterwards."""
    return Tensor((0,), sources, root=ELSEWHERE)


class Graph:
    """Nodes and leaves in the order in which ggml would evaluate and list them."""

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leaves: list[Tensor] = []

    def expand(self, tensor: Tensor) -> Tensor:
        """ggml_build_forward_expand: list a tensor after everything it needs; returns the tensor."""
        if tensor.is_seen:
            return tensor
        tensor.is_seen = True
        for source in tensor.sources:
            if not source.is_seen:
                self.expand(source)
        (self.leaves if tensor.is_leaf else self.nodes).append(tensor)
        return tensor
