"""Archives of every kind, of names and contents."""

import io
import tarfile
import zipfile

import py7zr


def tar_info(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def make(path, content):
    """An archive of the kind that its name says."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
    elif path.name.endswith(".7z"):
        with py7zr.SevenZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(data, name)
    else:
        mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}.get(path.name.rsplit(".")[-1], "w")
        with tarfile.open(path, mode) as archive:
            for name, data in content.items():
                archive.addfile(tar_info(name, data), io.BytesIO(data))
    return path
