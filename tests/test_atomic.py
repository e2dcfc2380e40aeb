import pytest

from sketch_prompt.atomic import atomic_write


def test_file_appears_only_when_complete(tmp_path):
    target = tmp_path / "new" / "report.json"
    with atomic_write(target) as temporary:
        temporary.write_text("{}")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".json"
        assert not target.exists()
    assert target.read_text() == "{}"


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(target) as temporary:
        temporary.write_text("ha")
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
