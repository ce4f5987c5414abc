"""The law as data (公共信用信息目录): load, validate, and resolve what was in force on a day."""
