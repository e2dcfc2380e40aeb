"""Which galleries this user made. Only those may say where on this machine photos are.

A gallery is a folder, and a folder can come from anybody. Its rows are names of files, so a gallery that is believed
makes this program open, show and upload whatever files it names. Therefore a gallery is sealed when it is saved: with
a key that never leaves the user's own state folder, over the folder of photos and every name. A gallery whose seal is
missing or does not fit came from elsewhere, or was altered: its photos are opened only below a folder that the user
names (`photos_dir=`, `--photos`).
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
    """The seal of a gallery, hexadecimal; None where no key can be kept.

    Args:
        places: what it names outside of its own folder.
        paths: the names of its photos, in order.
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
    """Whether `given` is the seal that this user's key makes of a gallery."""
    if not isinstance(given, str) or not given.isascii():
        return False
    expected = seal(places, paths)
    return expected is not None and hmac.compare_digest(given, expected)


def _key() -> bytes:
    """This user's key, made the first time."""
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
                os.link(temporary, path)  # unlike a rename, it leaves the key of a process that was faster
            except FileExistsError:
                pass
            except OSError:  # a file system without hard links
                os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise OSError(f"{path} is damaged; delete it, and index your photos once more")
    return key
