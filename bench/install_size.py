"""What the base installation takes on disk, package by package (the bar is 40 MB with dependencies).

python bench/install_size.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder (or of the file)."""
    if folder.is_file():
        return folder.stat().st_size
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def main() -> None:
    """Install into an empty folder and list what lies there."""
    with tempfile.TemporaryDirectory() as target:
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--target", target, str(ROOT)], check=True
        )
        parts = sorted(((size_bytes(p), p.name) for p in Path(target).iterdir()), reverse=True)
        for size, name in parts[:12]:
            print(f"{size / 1e6:8.2f} MB  {name}")
        print(f"{sum(size for size, _ in parts) / 1e6:8.2f} MB  in all")


if __name__ == "__main__":
    main()
