"""``python -m credit_service.cli``."""

from credit_service.cli import main

main()
