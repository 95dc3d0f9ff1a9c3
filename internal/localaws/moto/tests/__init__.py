"""Unit tests of the files that have logic of their own. They are not part of the program that carnation embeds."""

import clients  # noqa: F401  # as in __main__.py: before moto's services
import patching  # noqa: F401
