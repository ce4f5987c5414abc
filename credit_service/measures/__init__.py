"""Joint incentives and punishments 守信联合激励和失信联合惩戒: what follows from a record, its use, feedback."""
