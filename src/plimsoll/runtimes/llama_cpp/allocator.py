"""ggml's graph allocator on tensors without data: how large the buffer of a graph becomes.

Source: ggml/src/ggml-alloc.c of ggml-org/llama.cpp@0c1e57098 (ggml_gallocr_alloc_graph_impl and the
best-fit allocator ggml_dyn_tallocr), for one buffer without a maximum size.
"""

from __future__ import annotations

from plimsoll.runtimes.llama_cpp.tensor import Graph, Tensor

_ENDLESS = 1 << 62


class Heap:
    """Free blocks sorted by offset; the last is the endless rest. `peak_bytes` is the buffer's size."""

    __slots__ = ("alignment_bytes", "offsets", "peak_bytes", "sizes")

    def __init__(self, alignment_bytes: int) -> None:
        self.alignment_bytes = alignment_bytes
        self.offsets = [0]
        self.sizes = [_ENDLESS]
        self.peak_bytes = 0

    def padded(self, size_bytes: int) -> int:
        """The size rounded up to the alignment."""
        return -(-size_bytes // self.alignment_bytes) * self.alignment_bytes

    def take(self, size_bytes: int) -> int:
        """The smallest block that holds it (the last among equals), else the endless rest."""
        size = self.padded(size_bytes)
        sizes, best, best_size = self.sizes, len(self.sizes) - 1, _ENDLESS
        for i in range(best):
            if size <= sizes[i] <= best_size:
                best, best_size = i, sizes[i]
        offset = self.offsets[best]
        self.offsets[best] += size
        sizes[best] -= size
        if sizes[best] == 0:
            del self.offsets[best], sizes[best]
        self.peak_bytes = max(self.peak_bytes, offset + size)
        return offset

    def give(self, offset: int, size_bytes: int) -> None:
        """Free a block and merge it with its neighbours, in ggml's order of looking."""
        size = self.padded(size_bytes)
        offsets, sizes = self.offsets, self.sizes
        if size == 0:
            return
        for i in range(len(offsets)):
            if offsets[i] + sizes[i] == offset:
                sizes[i] += size
                if i + 1 < len(offsets) and offsets[i] + sizes[i] == offsets[i + 1]:
                    sizes[i] += sizes[i + 1]
                    del offsets[i + 1], sizes[i + 1]
                return
            if offset + size == offsets[i]:
                offsets[i] = offset
                sizes[i] += size
                if i and offsets[i - 1] + sizes[i - 1] == offset:
                    sizes[i - 1] += sizes[i]
                    del offsets[i], sizes[i]
                return
            if offsets[i] > offset:
                offsets.insert(i, offset)
                sizes.insert(i, size)
                return


def buffer_bytes(graph: Graph, alignment_bytes: int) -> int:
    """Bytes of the buffer that ggml would reserve for the graph. Uses up the graph's counters."""
    heap = Heap(alignment_bytes)
    for tensor in graph.leaves:
        tensor.is_owned = True
        tensor.address = heap.take(tensor.size_bytes)
    for node in graph.nodes:
        if node.root is not None:
            node.root.views_count += 1
        for source in node.sources:
            source.children_count += 1
    for node in graph.nodes:
        if node.root is None:
            _allocate(heap, node)
        for source in node.sources:
            source.children_count -= 1
            if source.children_count == 0 and source.views_count == 0:
                _release(heap, source)
    return heap.peak_bytes


def _allocate(heap: Heap, tensor: Tensor) -> None:
    tensor.is_owned = True
    if tensor.may_reuse:
        for parent in tensor.sources:
            if (
                parent.is_owned
                and parent.children_count == 1
                and parent.views_count == 0
                and not parent.is_output
                and parent.ne == tensor.ne
                and parent.width == tensor.width
            ):
                tensor.address = parent.address
                parent.is_owned = False
                return
    tensor.address = heap.take(tensor.size_bytes)


def _release(heap: Heap, tensor: Tensor) -> None:
    """A tensor without readers gives its memory back; a view lets go of its root."""
    root = tensor.root
    if root is not None:
        root.views_count -= 1
        if root.views_count or root.children_count:
            return
        tensor = root
    if tensor.is_owned and not tensor.is_output:
        heap.give(tensor.address, tensor.size_bytes)
        tensor.is_owned = False
