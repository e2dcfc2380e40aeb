"""Galleries of this user. Only these may say where photos are on this machine.

A gallery is a folder that can come from anybody. Its rows are names of files, so a gallery that is trusted makes this
program open, show and upload any file that it names. So a gallery is sealed when it is saved: with a key in the user's
state folder that is never copied, over the folder of photos and all names. A gallery without a valid seal comes from
somewhere else or was changed. Its photos are only opened in a folder that the user names (`photos_dir=`, `--photos`).
"""

import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

logger = logging.getLogger(__name__)

_KEY_BYTES = 32


def seal(places: str, paths: Iterable[str]) -> str | None:
    """The seal of a gallery, hexadecimal. None if no key can be stored.

    Args:
        places: The places outside of its folder that it names.
        paths: The names of its photos, in order.
    """
    try:
        key = _key()
    except OSError as error:
        logger.warning("%s: the gallery is saved without a seal, so its photos need photos_dir= later", error)
        return None
    digest = hashlib.blake2b(key=key, digest_size=32)
    for name in (places, *paths):
        encoded = name.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return digest.hexdigest()


def is_sealed(given: object, places: str, paths: Iterable[str]) -> bool:
    """Whether `given` is the seal of a gallery with this user's key."""
    if not isinstance(given, str) or not given.isascii():
        return False
    expected = seal(places, paths)
    return expected is not None and hmac.compare_digest(given, expected)


def _key() -> bytes:
    """This user's key. It is created when it is first used."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    path = Path(state, "sketch-prompt", "gallery.key")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(
                    temporary, path
                )  # unlike a rename, a link does not replace the key of another process
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise OSError(f"{path} is damaged; delete it, and index your photos again")
    return key
