"""Chaos: jobs whose calls fail, whose messages stray and whose processes die, and their books.

A trial is one faulted job. A strike is what happens at one named point (``points``) of its life; it
is carried out by a proxy (``proxy``) before AWS and before upstream. ``cases`` is the table of all
faults, ``trials`` the callers, ``books`` the judgement; ``python -m tests.stack.chaos`` runs it.
"""
