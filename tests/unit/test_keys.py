"""What is handed out, and what is kept of it."""

from __future__ import annotations

from hashlib import sha256

from easel.keys import digest, new_key


def test_keys_are_long_random_and_recognisable() -> None:
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("ek-") and len(key) == len("ek-") + 43 for key in keys)


def test_any_text_has_a_digest() -> None:
    assert len({digest(text) for text in ("\ud800", "?", "", "\0", "é")}) == 5


def test_only_a_keys_digest_is_kept() -> None:
    assert digest("ek-1") == sha256(b"ek-1").hexdigest()
