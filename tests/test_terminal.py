import errno

import pytest

from sketch_prompt.terminal import message_of, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat/ü 猫 😀.jpg", "cat/ü 猫 😀.jpg"),
        ("\x1b[31mred\x07.jpg", "\\x1b[31mred\\x07.jpg"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("cod\u202egpj.exe", "cod\\u202egpj.exe"),
        ("\u2066\u200f\x9b31m", "\\u2066\\u200f\\x9b31m"),
        ("line\u2028end\ufeff", "line\\u2028end\\ufeff"),
        ("not text \udcff", "not text \\udcff"),
        ("👩\u200d🚀 نامه\u200cای", "👩\u200d🚀 نامه\u200cای"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_message_of_several_lines_keeps_them():
    assert printable("a\n\tb\x1b", keep="\n\t") == "a\n\tb\\x1b"


def test_a_full_disk_is_said_in_one_line_whatever_was_raised_for_it():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "/data/features")
        except OSError as error:
            raise RuntimeError("An error occurred while generating the dataset") from error
    except RuntimeError as error:
        message = message_of(error)
    assert message.startswith(
        "there is no room to write: /data/features (No space left on device). Make room"
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError(" wrong \n"), "wrong"),
        (ValueError("\x1b]0;title\x07"), "\\x1b]0;title\\x07"),
        (KeyError("name"), "KeyError: 'name'"),
        (TypeError(), "TypeError"),
        (
            UnicodeEncodeError("utf-8", "a \udcff", 2, 3, "surrogates not allowed"),
            "not a text in UTF-8: a \\udcff",
        ),
    ],
)
def test_every_error_says_something(error, message):
    assert message_of(error) == message
