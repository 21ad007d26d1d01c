"""How property tests are run: the same examples for everybody, and as long as they take on a busy machine. And what Ctrl-C is to what tests start."""

import signal

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")

# A shell that runs the tests in the background ignores Ctrl-C for them, and so it would be for every process that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
