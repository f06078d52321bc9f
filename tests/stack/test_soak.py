"""A short soak of the inbox: one of each kind of file, but those that wait in vain."""

from tests.stack import soak
from tests.stack.running import unique


def test_every_file_is_accounted_for(running):
    run = unique("soak").replace(" ", "-")
    made = [make(kind, f"inbox/demo/{run}/{kind}", f"{run}.") for kind, make in soak.KINDS.items()]
    billed, objects = soak.soak(running, run, made)
    bad = [(one.kind, one.found) for one in made if not one.answered or one.wrong(objects)]
    assert bad == []
    assert billed == sum(one.billed for one in made)
