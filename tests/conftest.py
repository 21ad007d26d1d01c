"""How property tests are run: the same examples for everybody, and as long as they take on a busy machine."""

from hypothesis import settings

settings.register_profile("suite", deadline=None, derandomize=True, database=None)
settings.load_profile("suite")
