"""ggml's allocator: best fit, merging, reuse in place, views that hold memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plimsoll.runtimes.llama_cpp.allocator import Heap, buffer_bytes
from plimsoll.runtimes.llama_cpp.tensor import Graph, fresh, leaf, same, store, view


def test_the_smallest_hole_that_fits_is_taken() -> None:
    heap = Heap(1)
    places = [heap.take(size) for size in (100, 1, 50, 1)]
    heap.give(places[0], 100)
    heap.give(places[2], 50)
    assert heap.take(40) == places[2]
    assert heap.take(60) == places[0]
    assert heap.peak_bytes == 152


def test_neighbours_merge() -> None:
    heap = Heap(32)
    places = [heap.take(32) for _ in range(4)]
    heap.give(places[0], 32)
    heap.give(places[2], 32)
    heap.give(places[1], 32)
    assert heap.take(96) == places[0]
    assert heap.peak_bytes == 128


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=30))
def test_giving_everything_back_leaves_one_block(sizes: list[int]) -> None:
    heap = Heap(32)
    places = [(heap.take(size), size) for size in sizes]
    for place, size in places[::2] + places[1::2]:
        heap.give(place, size)
    assert len(heap.offsets) == 1
    assert heap.peak_bytes == sum(heap.padded(size) for size in sizes)


def test_a_source_with_one_reader_is_overwritten() -> None:
    graph = Graph()
    x = fresh((1000,), leaf(1000))
    graph.expand(same(x))
    assert buffer_bytes(graph, 32) == 2 * 4000


def test_a_source_with_two_readers_is_not_overwritten() -> None:
    graph = Graph()
    x = fresh((1024,), leaf(8))
    graph.expand(same(same(x), x))
    assert buffer_bytes(graph, 32) == 32 + 2 * 4096


def test_a_view_keeps_its_root_and_forbids_reuse() -> None:
    graph = Graph()
    x = fresh((1024,), leaf(8))
    graph.expand(same(view(x)))
    assert buffer_bytes(graph, 32) == 32 + 2 * 4096


def test_writing_to_a_cache_frees_its_source() -> None:
    graph = Graph()
    graph.expand(store(view(fresh((1024,), leaf(8)))))
    graph.expand(fresh((1024,), leaf(8)))
    assert buffer_bytes(graph, 32) == 2 * 32 + 4096


def test_outputs_stay() -> None:
    graph = Graph()
    x = fresh((1024,), leaf(8))
    x.is_output = True
    graph.expand(same(x))
    assert buffer_bytes(graph, 32) == 32 + 2 * 4096
