"""What the loopback Hub remembers: repositories with commits, branches and pull requests, and large files."""

import hashlib
import re
import uuid
from dataclasses import dataclass, field

LARGE = re.compile(r"\.(safetensors|bin|parquet|pt|pth|onnx|npz|npy|zip|gz|png|jpe?g|arrow|faiss)$")
LARGE_BYTES = 10_000_000


@dataclass(frozen=True)
class Blob:
    """A file's content, stored in git or, if large, beside it."""

    content: bytes
    large: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        ).encode()

    @property
    def oid(self) -> str:
        """The git object: of the pointer where the file is large."""
        stored = self.pointer if self.large else self.content
        return hashlib.sha1(b"blob %d\0" % len(stored) + stored).hexdigest()

    def describe(self, path: str) -> dict:
        """An entry of a tree listing."""
        entry = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.large:
            entry["lfs"] = {
                "oid": self.sha256,
                "size": len(self.content),
                "pointerSize": len(self.pointer),
            }
        return entry


def is_large(path: str, size: int) -> bool:
    """Whether the Hub keeps this file outside git."""
    return bool(LARGE.search(path)) or size > LARGE_BYTES


@dataclass
class Repository:
    """One repository: every commit is the whole mapping of paths to blobs."""

    kind: str
    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    history: dict[str, list[str]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self.commit("main", {}, "initial commit")

    @property
    def owner(self) -> str:
        return self.name.split("/")[0]

    @property
    def path(self) -> str:
        """The repository's address without the server."""
        return self.name if self.kind == "model" else f"{self.kind}s/{self.name}"

    def commit(self, ref: str, files: dict[str, Blob], title: str) -> str:
        """Let `ref` hold exactly these files."""
        sha = hashlib.sha1(uuid.uuid4().bytes).hexdigest()
        self.commits[sha], self.titles[sha] = dict(files), title
        self.history[sha] = [sha, *self.history.get(self.refs.get(ref, ""), [])]
        self.refs[ref] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, tag, pull request or (abbreviated) commit; None if there is none."""
        if revision in self.refs:
            return self.refs[revision]
        return next((sha for sha in self.commits if len(revision) >= 7 and sha.startswith(revision)), None)

    def files(self, revision: str = "main") -> dict[str, bytes]:
        """Content of every file at a revision, by path."""
        return {path: blob.content for path, blob in sorted(self.commits[self.resolve(revision)].items())}

    def add(self, files: dict[str, bytes], ref: str = "main", start: str = "main") -> str:
        """Commit further files, as if someone had pushed them; a new `ref` starts at `start`."""
        self.refs.setdefault(ref, self.refs[start])
        blobs = {path: Blob(content, is_large(path, len(content))) for path, content in files.items()}
        return self.commit(ref, {**self.commits[self.refs[ref]], **blobs}, "add files")
