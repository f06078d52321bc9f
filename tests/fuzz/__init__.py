"""Hostile input, drawn: a few of each kind in ``make test``, 50,000 and more by ``make fuzz``."""
