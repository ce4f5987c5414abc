"""``python -m credit_service`` is the ``credit-service`` command."""

from credit_service.cli import main

main()
