"""Notifications 通知送达: owed with the change that causes them, sent after its commit, proven when the law asks."""
