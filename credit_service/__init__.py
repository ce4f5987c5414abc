"""Open public-credit registry (公共信用信息登记) for China's legal entities."""

__version__ = "0.1.0"
