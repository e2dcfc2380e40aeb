"""The cards of the repository are those of the bundled checkpoints, kept so by a script."""

import model_cards


def test_every_card_is_that_of_a_bundled_checkpoint():
    assert model_cards.out_of_date() == []


def test_a_card_that_is_missing_old_or_left_over_is_found_and_written_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(model_cards, "CARDS", tmp_path)
    first, second, *others = sorted(model_cards.cards())
    model_cards.write()
    assert model_cards.out_of_date() == []
    first.unlink()
    second.write_text("old")
    (tmp_path / "gone.md").write_text("of no checkpoint")
    assert model_cards.out_of_date() == sorted([first, second, tmp_path / "gone.md"])
    model_cards.write()
    assert sorted(tmp_path.iterdir()) == [first, second, *others] and model_cards.out_of_date() == []
