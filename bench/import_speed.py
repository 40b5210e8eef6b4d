"""Write published measurements into the catalog: python bench/import_speed.py FILE.jsonl[.gz]

Rows that cannot be expressed in the catalog's names, that are faster than the device's peak, or of cases that
can only be measured, stay out; how many and why is printed. --serving-only leaves the rows of one pass as
they are.
"""

from __future__ import annotations

import sys
from collections import Counter

import serving_rows
from score_speed import expressed, read

from plimsoll.catalog import measurements
from plimsoll.domain.measurement import Measurement, ServingMeasurement


def main() -> None:
    """Read, express, write."""
    found: list[Measurement] = []
    reasons = Counter[str]()
    for row in serving_rows.with_prompts(read(sys.argv[1])):
        one = expressed(row)
        if isinstance(one, str):
            reasons[one] += 1
        else:
            found.append(one[0])
    served = [m for m in found if isinstance(m, ServingMeasurement)]
    if "--serving-only" not in sys.argv:
        measurements.write(m for m in found if not isinstance(m, ServingMeasurement))
    measurements.write(served)
    print(f"{len(found)} measurements written, {len(served)} of them of several requests;")
    print(f"{sum(reasons.values())} rows left out:")
    for reason, count in reasons.most_common():
        print(f"{count:6}  {reason}")


if __name__ == "__main__":
    main()
