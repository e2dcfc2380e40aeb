import sys

import pytest
from PIL import Image

from sketch_prompt.data.minisketch.__main__ import main


def test_the_contact_sheet_shows_the_classes_asked_for(tmp_path, monkeypatch, capsys):
    path = tmp_path / "sheet.png"
    options = ["--sheet", str(path), "--classes", "cup", "bus", "--image-size", "32", "--columns", "1"]
    monkeypatch.setattr(sys, "argv", ["minisketch", *options])
    main()
    with Image.open(path) as sheet:
        assert sheet.size == (4 * 32 + 6, 2 * (32 + 14))
    assert "2 classes x 2 instances" in capsys.readouterr().out


def test_folders_of_photos_and_drawings_hold_the_same_things(tmp_path, monkeypatch):
    photos, drawings = tmp_path / "photos", tmp_path / "drawings"
    options = ["--photos", photos, "--drawings", drawings, "--classes", "cup", "bus", "--first", "7"]
    monkeypatch.setattr(sys, "argv", ["minisketch", *map(str, options), "--image-size", "32"])
    main()
    for folder, suffix in ((photos, "jpg"), (drawings, "png")):
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
        assert names == [f"{name}/{number}.{suffix}" for name in ("bus", "cup") for number in (7, 8)]
    with Image.open(drawings / "cup" / "7.png") as drawing:
        assert drawing.size == (32, 32)


def test_nothing_to_write_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["minisketch"])
    with pytest.raises(SystemExit):
        main()
    assert "give --sheet, --photos or --drawings" in capsys.readouterr().err
