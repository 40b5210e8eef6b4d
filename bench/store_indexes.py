"""Build real vector stores and measure what they take on disk and in memory: what `store-plan` is held to.

    python bench/store_indexes.py build STORE --chunks 10000 --text FILE [--index I] [--vector V] >> rows.csv
    python bench/store_indexes.py header > rows.csv

Vectors are random and of unit length: sizes do not depend on their values (graph links excepted, which are
fewer where vectors cluster). Chunks are pieces of a real text, at random places, so that they compress as
text does. Disk is what the file system allocated (`st_blocks`), by kind of file. Memory is what a fresh
process grows by when it opens the store and answers 50 queries (resident, pages of mapped files included).
Needs the extra `store`. 200,000 chunks of 1,024 dimensions take about 4 GB of disk and minutes of processor.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

COLUMNS = (
    "store", "version", "index", "vector", "chunks_count", "dimension", "m", "language", "characters_count",
    "text_bytes", "what", "value", "unit",
)  # fmt: skip
PACKAGES = {"lancedb": "lancedb", "qdrant": "qdrant-edge-py", "faiss": "faiss-cpu", "hnswlib": "hnswlib",
            "usearch": "usearch"}  # fmt: skip
BATCH = 2_000
QUERIES = 50


class Chunks:
    """`count` chunks: unit vectors and pieces of a text, made batch by batch."""

    def __init__(self, count: int, dimension: int, text: str, characters: int) -> None:
        self.count, self.dimension, self.text, self.characters = count, dimension, text, characters
        self.text_bytes = 0

    def batches(self) -> Iterator[tuple[int, np.ndarray, list[str]]]:
        random = np.random.default_rng(7)
        for start in range(0, self.count, BATCH):
            size = min(BATCH, self.count - start)
            vectors = random.standard_normal((size, self.dimension), dtype=np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            places = random.integers(0, len(self.text) - self.characters, size)
            texts = [self.text[p : p + self.characters] for p in places]
            self.text_bytes += sum(len(t.encode()) for t in texts)
            yield start, vectors, texts


def queries(dimension: int) -> np.ndarray:
    """Unit vectors to ask for."""
    found = np.random.default_rng(11).standard_normal((QUERIES, dimension), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


# --- LanceDB


def build_lancedb(folder: str, chunks: Chunks, asked: argparse.Namespace) -> None:
    import lancedb
    import pyarrow as pa
    from lancedb import index as kinds

    value = {"float16": pa.float16()}.get(asked.vector, pa.float32())
    schema = pa.schema(
        [("id", pa.int64()), ("page", pa.int64()), ("text", pa.string()),
         ("vector", pa.list_(value, chunks.dimension))]
    )  # fmt: skip

    def rows() -> Iterator[Any]:
        for start, vectors, texts in chunks.batches():
            ids = pa.array(range(start, start + len(texts)), pa.int64())
            flat = pa.array(vectors.astype("float16" if asked.vector == "float16" else "float32").reshape(-1))
            lists = pa.FixedSizeListArray.from_arrays(flat, chunks.dimension)
            yield pa.record_batch([ids, ids, pa.array(texts), lists], schema=schema)

    table = lancedb.connect(folder).create_table("chunks", pa.RecordBatchReader.from_batches(schema, rows()))
    if asked.index == "ivf-pq":
        config = kinds.IvfPq(distance_type="cosine", max_iterations=asked.passes, sample_rate=asked.sample)
        table.create_index("vector", config=config)
    elif asked.index == "ivf-rq":
        table.create_index("vector", config=kinds.IvfRq(distance_type="cosine"))
    elif asked.index == "hnsw":
        config = kinds.HnswSq(distance_type="cosine", m=asked.m, ef_construction=asked.ef)
        table.create_index("vector", config=config)
    if asked.full_text:
        language = {"ru": "Russian"}.get(asked.language, "English")
        table.create_index("text", config=kinds.FTS(with_position=False, language=language))


def open_lancedb(folder: str, asked: argparse.Namespace) -> Any:
    import lancedb

    table = lancedb.connect(folder).open_table("chunks")
    return lambda query: (
        table.search(query, vector_column_name="vector").distance_type("cosine").limit(10).to_list()
    )


def kind_lancedb(path: Path, folder: Path) -> str:
    parts = path.relative_to(folder).parts
    if "data" in parts:
        return "rows"
    if "_indices" in parts:
        is_text = any(path.parent.glob("*tokens*"))
        return "full text" if is_text else "index"
    return "metadata"


# --- Qdrant Edge


def build_qdrant(folder: str, chunks: Chunks, asked: argparse.Namespace) -> None:
    import qdrant_edge as qdrant

    os.makedirs(folder, exist_ok=True)
    shard = qdrant.EdgeShard.create(folder, _qdrant_config(asked))
    if asked.full_text:
        index = qdrant.TextIndexParams(tokenizer=qdrant.TokenizerType.Word)
        shard.update(qdrant.UpdateOperation.create_field_index("text", index))
    for start, vectors, texts in chunks.batches():
        points = [
            qdrant.Point(start + i, vector.tolist(), {"text": text, "page": start + i})
            for i, (vector, text) in enumerate(zip(vectors, texts, strict=True))
        ]
        shard.update(qdrant.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.flush()
    shard.close()


def _qdrant_config(asked: argparse.Namespace) -> Any:
    import qdrant_edge as qdrant

    quantised = {
        "int8": lambda: qdrant.ScalarQuantizationConfig(type=qdrant.ScalarType.Int8),
        "binary": qdrant.BinaryQuantizationConfig,
        "pq": lambda: qdrant.ProductQuantizationConfig(compression=qdrant.CompressionRatio.X16),
    }.get(asked.vector)
    value = {"float16": qdrant.VectorStorageDatatype.Float16}.get(asked.vector)
    m = asked.m if asked.index == "hnsw" else 0
    return qdrant.EdgeConfig(
        vectors=qdrant.EdgeVectorParams(
            size=asked.dimension, distance=qdrant.Distance.Cosine, datatype=value
        ),
        hnsw_config=qdrant.HnswIndexConfig(m=m, ef_construct=asked.ef, full_scan_threshold=10_000),
        quantization_config=quantised() if quantised else None,
    )


def open_qdrant(folder: str, asked: argparse.Namespace) -> Any:
    import qdrant_edge as qdrant

    shard = qdrant.EdgeShard.load(folder)

    def search(query: np.ndarray) -> Any:
        return shard.search(
            qdrant.SearchRequest(query=qdrant.Query.Nearest(query.tolist()), limit=10, with_payload=True)
        )

    return search


def kind_qdrant(path: Path, folder: Path) -> str:
    name = "/".join(path.relative_to(folder).parts)
    kinds = {
        "payload_storage": "text", "payload_index": "full text", "quantized": "quantised",
        "vector_storage": "vectors", "vector_index": "index", "id_tracker": "ids", "wal/": "log",
    }  # fmt: skip
    return next((kind for part, kind in kinds.items() if part in name), "metadata")


# --- libraries that hold vectors only


def build_faiss(folder: str, chunks: Chunks, asked: argparse.Namespace) -> None:
    import faiss

    d = chunks.dimension
    if asked.index == "hnsw":
        index = faiss.IndexHNSWFlat(d, asked.m, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = asked.ef
    elif asked.index == "ivf-pq":
        index = faiss.index_factory(d, f"IVF{max(1, chunks.count // 1000)},PQ{d // 16}")
    else:
        name = {"float16": "SQfp16", "int8": "SQ8"}.get(asked.vector, "Flat")
        index = faiss.index_factory(d, name)
    for _, vectors, _ in chunks.batches():
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
    os.makedirs(folder, exist_ok=True)
    faiss.write_index(index, os.path.join(folder, "index"))


def open_faiss(folder: str, asked: argparse.Namespace) -> Any:
    import faiss

    index = faiss.read_index(os.path.join(folder, "index"))
    if asked.index == "hnsw":
        index.hnsw.efSearch = asked.ef
    return lambda query: index.search(query.reshape(1, -1), 10)


def build_hnswlib(folder: str, chunks: Chunks, asked: argparse.Namespace) -> None:
    import hnswlib

    index = hnswlib.Index(space="cosine", dim=chunks.dimension)
    index.init_index(max_elements=chunks.count, ef_construction=asked.ef, M=asked.m)
    for start, vectors, _ in chunks.batches():
        index.add_items(vectors, np.arange(start, start + len(vectors)))
    os.makedirs(folder, exist_ok=True)
    index.save_index(os.path.join(folder, "index"))


def open_hnswlib(folder: str, asked: argparse.Namespace) -> Any:
    import hnswlib

    index = hnswlib.Index(space="cosine", dim=asked.dimension)
    index.load_index(os.path.join(folder, "index"))
    index.set_ef(asked.ef)
    return lambda query: index.knn_query(query, 10)


def build_usearch(folder: str, chunks: Chunks, asked: argparse.Namespace) -> None:
    index = _usearch(asked)
    for start, vectors, _ in chunks.batches():
        index.add(np.arange(start, start + len(vectors)), vectors)
    os.makedirs(folder, exist_ok=True)
    index.save(os.path.join(folder, "index"))


def _usearch(asked: argparse.Namespace) -> Any:
    from usearch.index import Index

    value = {"float16": "f16", "int8": "i8", "binary": "b1"}.get(asked.vector, "f32")
    return Index(
        ndim=asked.dimension, metric="hamming" if value == "b1" else "cos", dtype=value, connectivity=asked.m,
        expansion_add=asked.ef, expansion_search=asked.ef,
    )  # fmt: skip


def open_usearch(folder: str, asked: argparse.Namespace) -> Any:
    index = _usearch(asked)
    index.load(os.path.join(folder, "index"))
    return lambda query: index.search(query, 10)


# --- measuring


def disk(folder: str, store: str) -> Counter[str]:
    """Allocated bytes by kind of file, and all apparent bytes ('apparent')."""
    found: Counter[str] = Counter()
    kind = globals().get(f"kind_{store}", lambda path, root: "index")
    for path in Path(folder).rglob("*"):
        if path.is_file():
            seen = path.stat()
            found[f"disk {kind(path, Path(folder))}"] += seen.st_blocks * 512
            found["apparent"] += seen.st_size
    return found


def opened(folder: str, asked: argparse.Namespace) -> dict[str, float]:
    """In a fresh process: what opening and asking takes in memory, and the median query."""
    module = {"qdrant": "qdrant_edge", "usearch": "usearch.index"}.get(asked.store, asked.store)
    __import__(module)
    before, anonymous = _memory(asked.store), _anonymous()
    search = globals()[f"open_{asked.store}"](folder, asked)
    took = []
    for query in queries(asked.dimension):
        start = time.perf_counter()
        search(query)
        took.append(time.perf_counter() - start)
    seen = {
        "ram": _memory(asked.store) - before, "ram anonymous": _anonymous() - anonymous,
        "query": statistics.median(took[5:]),
    }  # fmt: skip
    if asked.store == "faiss" and asked.index == "hnsw":
        import faiss

        seen["distances"] = faiss.cvar.hnsw_stats.ndis / QUERIES
    return seen


def _memory(store: str) -> int:
    """Resident bytes; of Qdrant the proportional set, because it maps its vectors twice."""
    seen = psutil.Process().memory_full_info()
    return int(seen.pss if store == "qdrant" else seen.rss)


def _anonymous() -> int:
    """Resident bytes of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def build(asked: argparse.Namespace) -> None:
    """Build one store in a folder of its own, print its rows, remove it."""
    text = Path(asked.text).read_text(encoding="utf-8")
    chunks = Chunks(asked.chunks, asked.dimension, text, asked.characters)
    folder = tempfile.mkdtemp(prefix="store-", dir=asked.folder)
    try:
        inside = os.path.join(folder, "db")
        start = time.perf_counter()
        globals()[f"build_{asked.store}"](inside, chunks, asked)
        values: dict[str, tuple[float, str]] = {"build": (round(time.perf_counter() - start, 1), "s")}
        values |= {what: (size, "bytes") for what, size in sorted(disk(inside, asked.store).items())}
        again = subprocess.run(
            [sys.executable, __file__, "open", inside, json.dumps(vars(asked))],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        seen = json.loads(again.stdout.splitlines()[-1])
        values |= {what: (seen[what], "bytes") for what in ("ram", "ram anonymous")}
        values |= {"query": (round(1e3 * seen["query"], 3), "ms")}
        if "distances" in seen:
            values["distances"] = (round(seen["distances"], 1), "per query")
        _print(asked, chunks, values)
    finally:
        shutil.rmtree(folder)


def _print(asked: argparse.Namespace, chunks: Chunks, values: dict[str, tuple[float, str]]) -> None:
    version = importlib.metadata.version(PACKAGES[asked.store])
    index = asked.index + (" + full text" if asked.full_text else "")
    out = csv.writer(sys.stdout, lineterminator="\n")
    for what, (value, unit) in values.items():
        out.writerow(
            [
                asked.store,
                version,
                index,
                asked.vector,
                asked.chunks,
                asked.dimension,
                asked.m,
                asked.language,
                asked.chunks * asked.characters,
                chunks.text_bytes,
                what,
                value,
                unit,
            ]
        )
    sys.stdout.flush()


def main() -> None:
    if sys.argv[1:] == ["header"]:
        print(",".join(COLUMNS))
        return
    if sys.argv[1] == "open":
        print(json.dumps(opened(sys.argv[2], argparse.Namespace(**json.loads(sys.argv[3])))))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["build"])
    parser.add_argument("store", choices=PACKAGES)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--dimension", type=int, default=1024)
    parser.add_argument("--text", required=True)
    parser.add_argument("--language", default="ru")
    parser.add_argument("--characters", type=int, default=2_000)
    parser.add_argument("--index", default="hnsw", choices=["hnsw", "ivf-pq", "ivf-rq", "flat"])
    parser.add_argument("--vector", default="float32", choices=["float32", "float16", "int8", "binary", "pq"])
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef", type=int, default=100)
    parser.add_argument("--full-text", action="store_true")
    parser.add_argument("--passes", type=int, default=50, help="LanceDB: passes that train its index")
    parser.add_argument("--sample", type=int, default=256, help="LanceDB: vectors per centroid that train it")
    parser.add_argument(
        "--folder", default=None, help="where to build; default: the system's temporary folder"
    )
    build(parser.parse_args())


if __name__ == "__main__":
    main()
