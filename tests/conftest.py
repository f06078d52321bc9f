"""What holds for all tests."""

import botocore.loaders
import botocore.session
from hypothesis import settings

# No test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Every test has a session of its own; what botocore parsed for one, all share: its models of the
# services cost more than the tests.
_LOADER = botocore.loaders.create_loader()
botocore.session.create_loader = lambda _path: _LOADER
