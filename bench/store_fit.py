"""Learn the coefficients of `store-plan` from measured indexes, and hold its predictions to them.

    python bench/store_fit.py            # compare predictions with every measured index
    python bench/store_fit.py --write    # learn anew from those of 10,000 chunks, then compare

Indexes of 10,000 chunks set the coefficients; larger ones are only predicted.
"""

from __future__ import annotations

import argparse
import json
import os.path

from plimsoll.catalog import stores
from plimsoll.core.store_fit import FITTED_ON, built, compared, fit

BAR = 0.15


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true", help="write catalog/stores/coefficients.json anew")
    rows = stores.load_measurements()
    if parser.parse_args().write:
        with open(os.path.join(stores.FOLDER, "coefficients.json"), "w", encoding="utf-8") as file:
            json.dump(fit(rows), file, indent=1)
            file.write("\n")
    learnt = stores.load_coefficients()
    print("| index | chunks | what | predicted, MB | measured, MB | miss | set by it |")
    print("|---|---:|---|---:|---:|---:|---|")
    missed = {False: [], True: []}  # type: dict[bool, list[float]]
    for one in built(rows):
        for c in compared(one, learnt):
            is_fitted = one.chunks_count == FITTED_ON
            missed[is_fitted].append(abs(c.miss))
            more = " + full text" if one.has_full_text else ""
            print(
                f"| {one.store} {one.index} {one.vector}{more}, {one.language} | {one.chunks_count:,} "
                f"| {c.what} | {c.predicted / 1e6:,.1f} | {c.measured / 1e6:,.1f} | {c.miss:+.1%} "
                f"| {'yes' if is_fitted else 'no'} |"
            )
    for is_fitted, values in missed.items():
        if values:
            within = sum(v <= BAR for v in values)
            name = "indexes that set coefficients" if is_fitted else "indexes only predicted"
            print(f"{name}: {within} of {len(values)} within {BAR:.0%}, worst {max(values):.1%}")


if __name__ == "__main__":
    main()
