"""A Hub on 127.0.0.1 that speaks the protocol of `huggingface_hub`, for tests: nothing leaves the machine.

    hub.add("me/tiny", {"config.json": b"{}"})       a repository, as someone else made it
    hub["me/tiny"].files("main")                     what lies there now
    hub.requests                                     (method, path) of all that was asked
    hub.fail("resolve/.*safetensors", "cut")         the next matching request goes wrong

The token `hf_me` is that of the user `me`, who may write to `me/*` and read what is private there; `hf_you` is a
stranger's; others are refused.
"""

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from fakes.card_rules import problems
from fakes.repositories import Blob, Repository, is_large

TOKEN, STRANGER = "hf_me", "hf_you"
USERS = {TOKEN: "me", STRANGER: "you"}
PAGE = 1000
_KIND = r"(?P<kind>models|datasets|spaces)"
_REPO = r"(?P<repo>[^/]+/[^/]+|[^/]+)"
_PREFIX = r"(?P<kind>datasets/|spaces/)?"


@dataclass
class Fault:
    """What the next `times` requests whose path matches come to."""

    pattern: str
    kind: str
    times: int


@dataclass
class Response:
    """An answer: `body` is sent as JSON unless it is bytes."""

    body: object = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An error answer, with the headers from which the client tells causes apart."""

    def __init__(self, status: int, message: str, code: str | None = None):
        super().__init__(message)
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.response = Response({"error": message}, status, headers)


class LoopbackHub:
    """The server and what lies on it."""

    multipart_bytes = 4_000_000
    """Size from which a large file is uploaded in parts of this many bytes."""

    def __init__(self):
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        # Large files are elsewhere, as on the Hub: the client sends no token there.
        self.storage_url = self.url.replace("127.0.0.1", "localhost")
        self.lock = threading.RLock()
        self.reset()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self) -> None:
        """Forget everything."""
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.large: dict[str, bytes] = {}
        self.parts: dict[tuple[str, int], bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []

    def __getitem__(self, name: str) -> Repository:
        kind, _, rest = name.partition("/")
        return self.repositories[(kind[:-1], rest) if kind in ("datasets", "spaces") else ("model", name)]

    def __contains__(self, name: str) -> bool:
        kind, _, rest = name.partition("/")
        key = (kind[:-1], rest) if kind in ("datasets", "spaces") else ("model", name)
        return key in self.repositories

    def add(self, name: str, files: dict[str, bytes] | Path, kind: str = "model", **traits) -> Repository:
        """A repository with these files (or those of a folder) on main; `traits`: `private`, `gated`."""
        if isinstance(files, Path):
            files = {str(p.relative_to(files)): p.read_bytes() for p in files.rglob("*") if p.is_file()}
        repository = self.repositories[kind, name] = Repository(kind, name, **traits)
        repository.add(files)
        self.keep(repository)
        return repository

    def keep(self, repository: Repository) -> None:
        """Make the large files of a repository available for download."""
        for files in repository.commits.values():
            self.large |= {blob.sha256: blob.content for blob in files.values() if blob.large}

    def fail(self, pattern: str, kind: str, times: int = 1) -> None:
        """Let the next `times` requests whose path matches go wrong.

        `kind` is an HTTP status such as "503", "cut" (half of the body, then the connection ends), "flip" (one
        byte is another) or "close" (no answer at all).
        """
        self.faults.append(Fault(pattern, kind, times))

    def asked(self, pattern: str) -> list[str]:
        """Paths of the requests that match."""
        return [path for _, path in self.requests if re.search(pattern, path)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: LoopbackHub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve("GET")

    def do_HEAD(self):
        self._serve("HEAD")

    def do_POST(self):
        self._serve("POST")

    def do_PUT(self):
        self._serve("PUT")

    def do_DELETE(self):
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        self.content = self._read_body()
        path, _, query = self.path.partition("?")
        self.query = {name: values[0] for name, values in parse_qs(query).items()}
        with self.hub.lock:
            self.hub.requests.append((method, unquote(self.path)))
            fault = next(
                (f for f in self.hub.faults if f.times and re.search(f.pattern, unquote(path))), None
            )
            if fault is not None:
                fault.times -= 1
            if fault is not None and fault.kind == "close":
                self.close_connection = True
                return
            try:
                if fault is not None and fault.kind.isdigit():
                    raise Refused(int(fault.kind), "the loopback Hub was told to fail")
                response = self._answer(method, path)
            except Refused as refused:
                response = refused.response
        self._send(response, method, fault.kind if fault is not None else None)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _send(self, response: Response, method: str, fault: str | None) -> None:
        body, headers = response.body, dict(response.headers)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        if fault == "flip" and body and method == "GET":
            at = len(body) - 1
            body = body[:at] + bytes([body[at] ^ 1])
        self.send_response(response.status)
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if method != "HEAD":
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        if fault == "cut":
            self.wfile.flush()
            self.close_connection = True

    # Who asks, and for what

    @property
    def user(self) -> str | None:
        header = self.headers.get("Authorization", "")
        token = header.removeprefix("Bearer ")
        if not token:
            return None
        if token not in USERS:
            raise Refused(401, "Invalid credentials in Authorization header")
        return USERS[token]

    def repository(self, kind: str | None, name: str, write: bool = False) -> Repository:
        kind = (kind or "models").rstrip("/")[:-1]
        user, repository = self.user, self.hub.repositories.get((kind, unquote(name)))
        if repository is None or (repository.private and user != repository.owner):
            if user is None:
                raise Refused(401, "Invalid username or password.")
            raise Refused(404, "Repository not found", "RepoNotFound")
        if write and user != repository.owner:
            raise Refused(401 if user is None else 403, "You don't have the rights to do this")
        return repository

    def commit_of(self, repository: Repository, revision: str) -> str:
        sha = repository.resolve(unquote(revision))
        if sha is None:
            raise Refused(404, f"Invalid rev id: {unquote(revision)}", "RevisionNotFound")
        return sha

    def json(self) -> dict:
        return json.loads(self.content or b"{}")

    def _answer(self, method: str, path: str) -> Response:
        for verb, pattern, route in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and method in verb.split():
                return route(self, **found.groupdict())
        raise Refused(404, f"Sorry, we can't find the page you are looking for: {method} {path}")

    # Accounts and repositories

    def whoami(self) -> Response:
        if self.user is None:
            raise Refused(401, "Invalid username or password.")
        return Response({"type": "user", "name": self.user, "orgs": [], "auth": {"type": "access_token"}})

    def create(self) -> Response:
        asked, user = self.json(), self.user
        if user is None:
            raise Refused(401, "Invalid username or password.")
        owner, kind = asked.get("organization") or user, asked.get("type") or "model"
        if owner != user:
            raise Refused(403, f"You don't have the rights to create a {kind} under the namespace {owner!r}")
        name = f"{owner}/{asked['name']}"
        url = f"{self.hub.url}/{Repository(kind, name).path}"
        if (kind, name) in self.hub.repositories:
            refused = Refused(409, f"You already created this {kind} repo")
            refused.response.body |= {"url": url}
            raise refused
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[kind, name] = Repository(kind, name, private=bool(private))
        return Response({"url": url, "name": name, "id": name})

    def delete(self) -> Response:
        asked = self.json()
        kind = asked.get("type") or "model"
        repository = self.repository(
            f"{kind}s", f"{asked.get('organization') or self.user}/{asked['name']}", True
        )
        del self.hub.repositories[repository.kind, repository.name]
        return Response()

    def info(self, kind: str, repo: str, revision: str = "main") -> Response:
        repository = self.repository(kind, repo)
        sha = self.commit_of(repository, revision)
        files = repository.commits[sha]
        siblings = [{"rfilename": path} for path in files]
        if self.query.get("blobs"):
            siblings = [
                {"rfilename": path, "size": len(blob.content), "blobId": blob.oid}
                | ({"lfs": {"sha256": blob.sha256, "size": len(blob.content), "pointerSize": len(blob.pointer)}}
                   if blob.large else {})
                for path, blob in files.items()
            ]  # fmt: skip
        card = front_matter(files["README.md"].content.decode()) if "README.md" in files else None
        tags = list((card or {}).get("tags") or [])
        config = json.loads(files["config.json"].content) if "config.json" in files else {}
        return Response(
            {
                "_id": hashlib.sha1(repository.name.encode()).hexdigest()[:24],
                "id": repository.name,
                "modelId": repository.name,
                "author": repository.owner,
                "sha": sha,
                "private": repository.private,
                "gated": "manual" if repository.gated else False,
                "disabled": False,
                "downloads": 0,
                "likes": 0,
                "tags": tags,
                "pipeline_tag": (card or {}).get("pipeline_tag"),
                "library_name": (card or {}).get("library_name"),
                "cardData": card,
                "config": {key: config[key] for key in ("architectures", "model_type") if key in config},
                "siblings": siblings,
                "createdAt": "2025-01-01T00:00:00.000Z",
                "lastModified": "2025-01-01T00:00:00.000Z",
            }
        )

    def tree(self, kind: str, repo: str, revision: str, folder: str | None = None) -> Response:
        repository = self.repository(kind, repo)
        files = repository.commits[self.commit_of(repository, revision)]
        prefix = f"{unquote(folder).strip('/')}/" if folder and folder.strip("/") else ""
        inside = {path: blob for path, blob in files.items() if path.startswith(prefix)}
        if prefix and not inside:
            raise Refused(404, f"{prefix} does not exist", "EntryNotFound")
        recursive = self.query.get("recursive", "").lower() in ("true", "1")
        entries, folders = [], set()
        for path, blob in sorted(inside.items()):
            parents = path.removeprefix(prefix).split("/")[:-1]
            for depth in range(1, len(parents) + 1 if recursive else min(len(parents), 1) + 1):
                folders.add(prefix + "/".join(parents[:depth]))
            if recursive or not parents:
                entries.append(blob.describe(path))
        entries += [
            {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
            for path in sorted(folders)
        ]
        start = int(self.query.get("cursor", 0))
        headers = {}
        if len(entries) > start + PAGE:
            path = urlsplit(self.path).path
            query = f"recursive={recursive}&cursor={start + PAGE}"
            headers["Link"] = f'<{self.hub.url}{path}?{query}>; rel="next"'
        return Response(entries[start : start + PAGE], headers=headers)

    def paths_info(self, kind: str, repo: str, revision: str) -> Response:
        repository = self.repository(kind, repo)
        files = repository.commits[self.commit_of(repository, revision)]
        if self.headers.get("Content-Type", "").startswith("application/json"):
            paths = self.json().get("paths", [])
        else:
            paths = parse_qs(self.content.decode()).get("paths", [])
        found = [files[path].describe(path) for path in paths if path in files]
        for path in paths:
            if path not in files and any(name.startswith(f"{path}/") for name in files):
                sha = hashlib.sha1(path.encode()).hexdigest()
                found.append({"type": "directory", "path": path, "size": 0, "oid": sha})
        return Response(found)

    def refs(self, kind: str, repo: str) -> Response:
        repository = self.repository(kind, repo)
        answer = {"branches": [], "converts": [], "tags": [], "pullRequests": []}
        for name, sha in repository.refs.items():
            group = "pullRequests" if name.startswith("refs/pr/") else "branches"
            ref = name if group == "pullRequests" else f"refs/heads/{name}"
            answer[group].append({"name": name.removeprefix("refs/"), "ref": ref, "targetCommit": sha})
        return Response(answer)

    def commits(self, kind: str, repo: str, revision: str) -> Response:
        repository = self.repository(kind, repo)
        history = repository.history[self.commit_of(repository, revision)]
        return Response(
            [
                {
                    "id": sha,
                    "title": repository.titles[sha],
                    "message": "",
                    "authors": [{"user": repository.owner}],
                    "date": "2025-01-01T00:00:00.000Z",
                }
                for sha in history
            ]
        )

    def branch(self, kind: str, repo: str, branch: str) -> Response:
        repository, name = self.repository(kind, repo, write=True), unquote(branch)
        if name.startswith("refs/"):
            raise Refused(400, f"Invalid reference for a branch: {name}")
        if name in repository.refs:
            raise Refused(409, f"Reference already exists: {name}")
        repository.refs[name] = self.commit_of(repository, self.json().get("startingPoint") or "main")
        return Response()

    def tag(self, kind: str, repo: str, revision: str) -> Response:
        repository, name = self.repository(kind, repo, write=True), self.json()["tag"]
        if name in repository.refs:
            raise Refused(409, f"Tag already exists: {name}")
        repository.refs[name] = self.commit_of(repository, revision)
        return Response()

    def discussions(self, kind: str, repo: str) -> Response:
        repository = self.repository(kind, repo)
        pulls = [ref for ref in repository.refs if ref.startswith("refs/pr/")]
        found = [
            {
                "num": int(ref.split("/")[-1]),
                "title": "Adding `safetensors` variant of this model",
                "author": {"name": "SFconvertbot"},
                "repo": {"name": repository.name, "type": repository.kind},
                "createdAt": "2025-01-01T00:00:00.000Z",
                "status": "open",
                "isPullRequest": True,
            }
            for ref in pulls
        ]
        return Response({"discussions": found, "count": len(found), "start": 0})

    # Downloads

    def resolve(self, kind: str | None, repo: str, revision: str, file: str) -> Response:
        repository = self.repository(kind, repo)
        if repository.gated and self.user != repository.owner:
            status = 401 if self.user is None else 403
            raise Refused(status, f"Access to model {repository.name} is restricted.", "GatedRepo")
        sha = self.commit_of(repository, revision)
        blob = repository.commits[sha].get(unquote(file))
        if blob is None:
            refused = Refused(404, "Entry not found", "EntryNotFound")
            refused.response.headers["X-Repo-Commit"] = sha
            raise refused
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": f'"{blob.oid}"'}
        if not blob.large:
            return self._ranged(blob.content, headers)
        headers |= {
            "X-Linked-Etag": f'"{blob.sha256}"',
            "X-Linked-Size": str(len(blob.content)),
            "Location": f"{self.hub.storage_url}/storage/{blob.sha256}",
        }
        return Response(b"", 302, headers)

    def storage(self, oid: str) -> Response:
        if oid not in self.hub.large:
            raise Refused(404, "no such object")
        return self._ranged(self.hub.large[oid], {"ETag": f'"{oid}"', "Accept-Ranges": "bytes"})

    def _ranged(self, content: bytes, headers: dict[str, str]) -> Response:
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not asked or not any(asked.groups()):
            return Response(content, 200, headers | {"Content-Type": "application/octet-stream"})
        first, last = asked.groups()
        start = int(first) if first else max(0, len(content) - int(last))
        end = min(int(last), len(content) - 1) if first and last else len(content) - 1
        if start >= len(content):
            return Response(b"", 416, {"Content-Range": f"bytes */{len(content)}"})
        headers = headers | {"Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return Response(content[start : end + 1], 206, headers)

    # Uploads

    def validate_yaml(self) -> Response:
        asked = self.json()
        data = front_matter(asked["content"])
        errors = problems(data, asked.get("repoType", "model"))
        warnings = [] if data else [{"message": "empty or missing yaml metadata in repo card"}]
        status = 400 if errors else 200
        return Response({"errors": [{"message": e} for e in errors], "warnings": warnings}, status)

    def preupload(self, kind: str, repo: str, revision: str) -> Response:
        repository = self.repository(kind, repo, write=not self.query.get("create_pr"))
        files = repository.commits[self.commit_of(repository, revision)]
        answer = []
        for asked in self.json()["files"]:
            known = files.get(asked["path"])
            mode = "lfs" if is_large(asked["path"], asked["size"]) else "regular"
            entry = {"path": asked["path"], "uploadMode": mode, "shouldIgnore": False}
            answer.append(entry | ({"oid": known.sha256 if known.large else known.oid} if known else {}))
        return Response({"files": answer, "commitOid": self.commit_of(repository, revision)})

    def lfs_batch(self, kind: str | None, repo: str) -> Response:
        self.repository(kind, repo)
        objects = []
        for asked in self.json()["objects"]:
            oid, size = asked["oid"], asked["size"]
            entry = {"oid": oid, "size": size}
            if oid not in self.hub.large:
                upload = {"href": f"{self.hub.storage_url}/upload/{oid}", "header": {}}
                if size > self.hub.multipart_bytes:
                    parts = -(-size // self.hub.multipart_bytes)
                    upload = {
                        "href": f"{self.hub.storage_url}/upload/{oid}/complete",
                        "header": {"chunk_size": str(self.hub.multipart_bytes)}
                        | {
                            f"{n:05d}": f"{self.hub.storage_url}/upload/{oid}/{n}"
                            for n in range(1, parts + 1)
                        },
                    }
                address = Repository(kind.rstrip("/")[:-1] if kind else "model", unquote(repo)).path
                verify = {"href": f"{self.hub.url}/{address}.git/info/lfs/objects/verify", "header": {}}
                entry["actions"] = {"upload": upload, "verify": verify}
            objects.append(entry)
        return Response({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> Response:
        return self._store(oid, self.content)

    def upload_part(self, oid: str, part: str) -> Response:
        self.hub.parts[oid, int(part)] = self.content
        return Response(b"", 200, {"ETag": f'"{hashlib.md5(self.content).hexdigest()}"'})

    def complete(self, oid: str) -> Response:
        parts = sorted(self.json()["parts"], key=lambda part: part["partNumber"])
        content = [self.hub.parts.pop((oid, part["partNumber"])) for part in parts]
        for part, bytes_ in zip(parts, content):
            if part["etag"].strip('"') != hashlib.md5(bytes_).hexdigest():
                raise Refused(400, "a part is not the one that was uploaded")
        return self._store(oid, b"".join(content))

    def _store(self, oid: str, content: bytes) -> Response:
        if hashlib.sha256(content).hexdigest() != oid:
            raise Refused(400, "the content does not have this digest")
        self.hub.large[oid] = content
        return Response()

    def verify(self, kind: str | None, repo: str) -> Response:
        asked = self.json()
        if len(self.hub.large.get(asked["oid"], b"")) != asked["size"]:
            raise Refused(404, "the upload is not complete")
        return Response({"message": "ok"})

    def commit(self, kind: str, repo: str, revision: str) -> Response:
        pull = self.query.get("create_pr")
        repository = self.repository(kind, repo, write=not pull)
        sha = self.commit_of(repository, revision)
        lines = [json.loads(line) for line in self.content.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        if header.get("parentCommit") not in (None, sha):
            raise Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repository.commits[sha])
        for line in lines:
            self._apply(files, line["key"], line["value"])
        if "README.md" in files:
            errors = problems(front_matter(files["README.md"].content.decode()), repository.kind)
            if errors:
                raise Refused(400, "Invalid metadata in README.md: " + "; ".join(errors))
        ref = unquote(revision)
        if pull:
            number = 1 + sum(name.startswith("refs/pr/") for name in repository.refs)
            ref = f"refs/pr/{number}"
            repository.refs[ref] = sha
        new = repository.commit(ref, files, header["summary"])
        answer = {"success": True, "commitOid": new}
        answer["commitUrl"] = f"{self.hub.url}/{repository.path}/commit/{new}"
        if pull:
            answer["pullRequestUrl"] = f"{self.hub.url}/{repository.path}/discussions/{number}"
        return Response(answer)

    def _apply(self, files: dict[str, Blob], key: str, value: dict) -> None:
        if key == "file":
            content = base64.b64decode(value["content"])
            if len(content) > 10_000_000:
                raise Refused(400, f"{value['path']} is too large for a regular file")
            files[value["path"]] = Blob(content, large=False)
        elif key == "lfsFile":
            if value["oid"] not in self.hub.large:
                raise Refused(400, f"{value['path']}: its content was not uploaded")
            files[value["path"]] = Blob(self.hub.large[value["oid"]], large=True)
        elif key == "deletedFile":
            if files.pop(value["path"], None) is None:
                raise Refused(400, f"{value['path']} is not there to be deleted")
        elif key == "deletedFolder":
            for path in [path for path in files if path.startswith(value["path"].rstrip("/") + "/")]:
                del files[path]


def front_matter(card: str) -> dict | None:
    """The YAML between the `---` at the start of a card; None if there is none."""
    import yaml

    found = re.match(r"\s*---\r?\n(.*?)\r?\n---\s*(\n|$)", card, re.DOTALL)
    return yaml.safe_load(found[1]) if found else None


_API = rf"/api/{_KIND}/{_REPO}"
ROUTES = [
    ("GET", r"/api/whoami-v2", _Handler.whoami),
    ("POST", r"/api/repos/create", _Handler.create),
    ("DELETE", r"/api/repos/delete", _Handler.delete),
    ("POST", r"/api/validate-yaml", _Handler.validate_yaml),
    ("GET", rf"{_API}/tree/(?P<revision>[^/]+)(?P<folder>/.*)?", _Handler.tree),
    ("POST", rf"{_API}/paths-info/(?P<revision>[^/]+)", _Handler.paths_info),
    ("GET", rf"{_API}/refs", _Handler.refs),
    ("GET", rf"{_API}/commits/(?P<revision>[^/]+)", _Handler.commits),
    ("POST", rf"{_API}/branch/(?P<branch>[^/]+)", _Handler.branch),
    ("POST", rf"{_API}/tag/(?P<revision>[^/]+)", _Handler.tag),
    ("GET", rf"{_API}/discussions", _Handler.discussions),
    ("POST", rf"{_API}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"{_API}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("GET HEAD", rf"{_API}/revision/(?P<revision>[^/]+)", _Handler.info),
    ("GET HEAD", _API, _Handler.info),
    ("POST", rf"/{_PREFIX}{_REPO}\.git/info/lfs/objects/batch", _Handler.lfs_batch),
    ("POST", rf"/{_PREFIX}{_REPO}\.git/info/lfs/objects/verify", _Handler.verify),
    ("PUT", r"/upload/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("POST", r"/upload/(?P<oid>[0-9a-f]{64})/complete", _Handler.complete),
    ("PUT", r"/upload/(?P<oid>[0-9a-f]{64})/(?P<part>\d+)", _Handler.upload_part),
    ("GET HEAD", r"/storage/(?P<oid>[0-9a-f]{64})", _Handler.storage),
    ("GET HEAD", rf"/{_PREFIX}{_REPO}/(?:resolve|raw)/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.resolve),
]
