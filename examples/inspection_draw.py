"""A bureau plans, commits to, draws and publishes an inspection; a third party verifies it, over HTTP, clock moved.

    credit-service serve --demo --movable-clock
    python examples/inspection_draw.py ADMINISTRATOR-TOKEN draw.json
    credit-service draw verify draw.json

with the administrator's token that the service printed. Needs httpx and, beside it, verify_draw.py.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from life_of_a_penalty import AGENCY, Registry
from verify_draw import verify


def main(address: str, administrator: str, saved: str) -> None:
    registry = Registry(address, administrator)
    number = os.urandom(3).hex()
    bureau = f"walk-bureau-{number}"
    registry.add_client(bureau, "regulator", agency_uscc=AGENCY)
    registry.add_client(registry.clock, "administrator")
    now = datetime.now(UTC)
    due_at = now + timedelta(days=1)
    registry.at(now.isoformat(), "a plan is made")
    item = {"code": f"walk-{number}", "name": "特种设备检查", "legal_basis": "《特种设备安全法》第五十七条"}
    registry.call("POST", "/v1/inspections/items", bureau, json=item)
    for officer in range(6):
        body = {"staff_number": f"{number}-{officer}", "name": f"检查员{officer}", "items": [item["code"]]}
        registry.call("POST", "/v1/inspections/inspectors", bureau, json=body)
    plan = registry.call(
        "POST",
        "/v1/inspections/plans",
        bureau,
        json={
            "title": "特种设备双随机抽查",
            "year": due_at.astimezone(ZoneInfo("Asia/Shanghai")).year,
            "items": [item["code"]],
            "division": "5001",
            "quotas": {"B": {"ratio": "0.05"}, "C": {"ratio": "0.2"}, "D": {"ratio": "0.5"}},
        },
    )
    beacon = {"source": "中国福利彩票双色球", "round": f"{due_at:%Y%m%d}", "due_at": due_at.isoformat()}
    path = f"/v1/inspections/plans/{plan['id']}"
    fixed = registry.call("POST", f"{path}/commitment", bureau, tag='"v1"', json={"beacon": beacon})
    print(f"committed: {fixed['entities']} entities, {fixed['quota']} to draw, {fixed['commitment']['digest']}")

    registry.at((due_at + timedelta(hours=1)).isoformat(), "the public value is known")
    made = registry.call("POST", f"{path}/draw", bureau, tag='"v2"', json={"public_value": "03 08 12 25 31 33 + 07"})
    print(f"drawn: {made['drawn']}, left out for their yearly limit: {made['excluded']}")

    published = registry.http.get(f"/v1/inspections/draws/{plan['id']}").json()
    assert published["commitment"]["digest"] == fixed["commitment"]["digest"]
    for name, holds in verify(published).items():
        print(f"anybody verifies {name}: {holds}")
    Path(saved).write_text(json.dumps(published), encoding="utf-8")
    print(f"saved for credit-service draw verify: {saved}")

    first = registry.call("GET", f"{path}/inspections", bureau, params={"limit": 1})["inspections"][0]
    result = {
        "result": "发现问题已责令改正",
        "inspected_on": f"{due_at + timedelta(hours=9):%Y-%m-%d}",
        "document_number": f"检查结果〔{number}〕1号",
    }
    registry.call("POST", f"/v1/inspections/{first['id']}/result", bureau, tag='"v1"', json=result)
    shown = registry.http.get(f"/v1/inspections/draws/{plan['id']}/results").json()["results"]
    print(f"published results: {[each['result'] for each in shown]}")
    registry.at(datetime.now(UTC).isoformat(), "the clock is put back")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(os.environ.get("CREDIT_SERVER", "http://127.0.0.1:8000"), sys.argv[1], sys.argv[2])
