"""Repeat a published draw of inspections from its file alone. Python's standard library, nothing of the service.

curl -s http://127.0.0.1:8000/v1/inspections/draws/PLAN > draw.json
python examples/verify_draw.py draw.json
"""

import hashlib
import json
import sys
from datetime import datetime
from pathlib import Path


def digest(*parts):
    return hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def canonical(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def draw(material, secret, public_value, excluded):
    seed = digest(b"inspection-draw/1", secret, public_value.encode())
    chosen = []
    for stratum in material["strata"]:
        left = [handle for handle in stratum["entities"] if handle not in excluded]
        left.sort(key=lambda handle: digest(seed, b"entity", handle.encode()))
        chosen += left[: stratum["quota"]]
    drawn = []
    for entity in sorted(chosen):
        free = [each for each in material["inspectors"] if [entity, each] not in material["conflicts"]]
        free.sort(key=lambda each: digest(seed, b"inspector", entity.encode(), each.encode()))
        drawn.append({"entity": entity, "inspectors": free[: material["inspectors_each"]]})
    return drawn


def verify(document):
    commitment, material, reveal = (document[name] for name in ("commitment", "material", "reveal"))
    members = {name: value for name, value in commitment.items() if name != "digest"}
    secret, due = bytes.fromhex(reveal["secret"]), datetime.fromisoformat(commitment["beacon"]["due_at"])
    return {
        "commitment": hashlib.sha256(canonical(members)).hexdigest() == commitment["digest"],
        "material": hashlib.sha256(canonical(material)).hexdigest() == commitment["material_sha256"],
        "secret": hashlib.sha256(secret).hexdigest() == commitment["secret_sha256"],
        "committed before the value": datetime.fromisoformat(commitment["committed_at"]) < due,
        "draw": draw(material, secret, reveal["public_value"], set(reveal["excluded"])) == document["drawn"],
    }


if __name__ == "__main__":
    found = verify(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    for name, holds in found.items():
        print(f"{name}: {'holds' if holds else 'DOES NOT HOLD'}")
    sys.exit(0 if all(found.values()) else 1)
