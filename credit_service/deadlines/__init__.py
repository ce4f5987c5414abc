"""Time-limits 时限: counted in working days, paused, extended, warned of, escalated. They decide nothing."""
