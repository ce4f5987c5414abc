"""An officer asks why an entity is class C, and what would make it B, over HTTP.

    credit-service serve --demo
    python examples/why_this_class.py ADMINISTRATOR-TOKEN

with the administrator's token that the service printed. Needs nothing but httpx.
"""

from __future__ import annotations

import os
import sys

from life_of_a_penalty import AGENCY, Registry


def main(address: str, administrator: str) -> None:
    registry = Registry(address, administrator)
    officer = f"walk-officer-{os.urandom(3).hex()}"
    registry.add_client(officer, "regulator", agency_uscc=AGENCY)
    page = registry.call(
        "GET", "/v1/supervision/entities", officer, params={"class": "C", "sort": "risk", "limit": 500}
    )
    print(f"{page['total']} entities are class C")
    for entity in reversed(page["entities"]):
        why = registry.call("GET", f"/v1/supervision/entities/{entity['uscc']}/class", officer)
        if why["risk_class"] == "C" and why["outlook"]["together_class"] == "B":
            break
    else:
        raise SystemExit("no entity of class C that a repair would make B")
    rule_set = why["rule_set"]
    print(f"{entity['name']} is class {why['risk_class']} with {why['points']} points by {rule_set['title_zh']}")
    for each in why["contributions"]:
        print(f"    {each['points']:+d}  {each['label_zh']}: {len(each['records'])} records")
    for each in why["left_out"]:
        print(f"     0  {each['item_name_zh']} of {each['decided_on']} does not count: {each['reason']}")
    outlook = why["outlook"]
    named = {record["id"]: record for record in why["counted"]}
    for record_id in outlook["together"]:
        record = named[record_id]
        told = f"{record['item_name_zh']} of {record['decided_on']}"
        print(f"repair of {told} is among what makes it {outlook['together_class']}")
    if outlook["better_at"] is not None:
        print(f"without anything done it is {outlook['better_at']['risk_class']} from {outlook['better_at']['at']}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(os.environ.get("CREDIT_SERVER", "http://127.0.0.1:8000"), sys.argv[1])
