"""The street of the site's tests, for those who try to break in there."""

from tests.agents.web.conftest import street, town

__all__ = ["street", "town"]
