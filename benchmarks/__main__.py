"""``python -m benchmarks NAME|all``: each benchmark in a process of its own, one JSON object printed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

NAMES = ("lookup", "imports", "log", "officers", "screening", "names", "uscc", "recovery", "supervision")


def measure(name: str, arguments: list[str]) -> Any:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(f"benchmarks.{name} ended with {done.returncode}")
    return json.loads(done.stdout)


def main() -> None:
    name, arguments = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("", [])
    if name in NAMES:
        result = measure(name, arguments)
    elif name == "all" and not arguments:
        result = {each: measure(each, []) for each in NAMES}
    else:
        raise SystemExit(f"usage: python -m benchmarks {'|'.join(NAMES)} [its options] | all")
    print(json.dumps(result, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()
