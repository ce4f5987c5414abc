"""Before the decision 拟作出决定: notice, statement and defence, then decision or abandonment."""
