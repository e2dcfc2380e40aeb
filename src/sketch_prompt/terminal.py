"""Print texts of others, such as names of files, safely on a terminal."""

import errno
import unicodedata

_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
# Format characters (Cf) can reverse or hide text. These are needed by some scripts and emoji.
_HARMLESS_FORMAT = "\u200c\u200d\u00ad"


def printable(text: str, keep: str = "") -> str:
    r"""A text that cannot control the terminal: control and bidirectional characters are written as `\x1b`, ...

    Args:
        text: Any text, such as the name of a file.
        keep: Characters to keep, such as a line break in a message of several lines.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in keep or not _is_control(character) else _escape(character)
        for character in text
    )


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in _HARMLESS_FORMAT
    return category in ("Cc", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def message_of(error: BaseException) -> str:
    """The message of an error, without line breaks at its ends and without control characters."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NO_ROOM:
            place = f": {cause.filename}" if cause.filename else ""
            return printable(
                f"there is no room to write{place} ({cause.strerror}). Make room and run the same command again; it "
                "continues with what was saved before"
            )
        cause = cause.__cause__
    if isinstance(error, UnicodeEncodeError):
        return f"not a text in UTF-8: {printable(error.object)}"
    text = str(error).strip()
    if isinstance(error, KeyError) or not text:
        text = f"{type(error).__name__}{f': {text}' if text else ''}"
    return printable(text, keep="\n\t")
