"""`python -m benchmarks [NAME …]` (`make bench`): measure, and print one table."""

import importlib
import sys

from benchmarks.table import print_table

MODULES = (
    "loop",
    "augmentation",
    "frozen",
    "evaluation",
    "starts",
    "emd",
    "scores",
    "graph",
    "nothing_to_do",
    "integrity",
    "forecast",
    "cluster",
)

if __name__ == "__main__":
    names = sys.argv[1:] or MODULES
    print_table(
        row for name in names for row in importlib.import_module(f"benchmarks.{name}").run()
    )
