"""Records (信用信息记录), their versions, lists (名单) and imports."""
