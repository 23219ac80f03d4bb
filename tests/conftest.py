"""What all tests share."""

from hypothesis import settings

# This machine may be busy: a slow example is no failure. The same examples are tried every time.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")
