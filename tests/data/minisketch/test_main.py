import sys

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
