"""What holds for all tests."""

from hypothesis import settings

# No test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
