"""Every client makes a picture, and three of them a slow one; ``make clients`` tries all cases."""

import subprocess
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.stack.clients.cells import ask
from tests.stack.clients.clients import CLIENTS, SLOW, Case, Client

SLOWED = ("openai-python 3", "openai-python 0.28.1", "openai-node 7")
CELLS = {f"{one.name}, slow": (one, Case(delay=SLOW)) for one in CLIENTS if one.name in SLOWED} | {
    one.name: (one, Case()) for one in CLIENTS
}


@pytest.fixture(scope="module")
def asked(running, tmp_path_factory) -> dict[str, Future[None]]:
    """Let all of them ask, a few at a time."""
    folder = tmp_path_factory.mktemp("pictures")
    present = {name: cell for name, cell in CELLS.items() if not cell[0].missing()}
    with ThreadPoolExecutor(3) as pool:
        return {name: pool.submit(ask, running, *cell, folder) for name, cell in present.items()}


@pytest.mark.parametrize("name", CELLS)
def test_the_picture_comes_and_is_paid_once(asked, name):
    client: Client = CELLS[name][0]
    if name not in asked:
        pytest.skip(client.missing())
    try:
        asked[name].result()
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{client.program} failed:\n{error.stderr or error.stdout}")
