"""Checkpoints of a tiny model, as folders and on the Hub."""

import pytest

from fakes.checkpoints import ADAPTER, BASE, WHOLE, write_checkpoints


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A base model, an adapter on it, and the two in one, as folders; and the model."""
    return write_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture
def given(hub, folders):
    """The same on the Hub."""
    hub.add(BASE, folders.clip)
    hub.add(ADAPTER, folders.adapter)
    hub.add(WHOLE, folders.whole)
    return hub
