"""Write published measurements into the catalog: python bench/import_speed.py FILE.jsonl[.gz]

Rows that cannot be expressed in the catalog's names, that are faster than the device's peak, or of cases that
can only be measured, stay out; how many and why is printed.
"""

from __future__ import annotations

import sys
from collections import Counter

from score_speed import expressed, read

from plimsoll.catalog import measurements


def main() -> None:
    """Read, express, write."""
    found, reasons = [], Counter[str]()
    for row in read(sys.argv[1]):
        one = expressed(row)
        if isinstance(one, str):
            reasons[one] += 1
        else:
            found.append(one[0])
    measurements.write(found)
    print(f"{len(found)} measurements written, {sum(reasons.values())} rows left out:")
    for reason, count in reasons.most_common():
        print(f"{count:6}  {reason}")


if __name__ == "__main__":
    main()
