"""YAML from untrusted files: recipes, and the split in an archive of data.

With aliases to aliases, a few lines of YAML can describe a structure that fills the memory, and deep nesting exceeds
the stack of Python. Only plain values are read here, and nothing becomes larger than its text.
"""

import os
import re
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 32


class NotPlainYamlError(ValueError):
    """A text that is not YAML, or YAML that is not supported. The message says where."""


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-4` is a number, without aliases, merge keys and duplicate keys."""

    def __init__(self, stream):
        super().__init__(stream)
        self._depth = 0

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise _describe_error(
                event.start_mark, f"the alias *{event.anchor} is not read here: write the value out"
            )
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _describe_error(self.peek_event().start_mark, f"this is nested more than {MAX_DEPTH} deep")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise _describe_error(
                    key_node.start_mark, "the merge key << is not read here: write the values out"
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise _describe_error(key_node.start_mark, "this is not a key")
            if key in seen:
                raise _describe_error(key_node.start_mark, f"the key {key!r} occurs twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str, place: str) -> Any:
    """Parse a YAML text.

    Args:
        text: The YAML.
        place: Where it comes from, for messages.

    Raises:
        NotPlainYamlError: It is not YAML, is longer than `MAX_BYTES` or nested deeper than `MAX_DEPTH`, or has an
            alias, a merge key, or a duplicate key.
    """
    if len(text) > MAX_BYTES:
        raise NotPlainYamlError(f"{place} is longer than {MAX_BYTES:,} characters")
    try:
        return yaml.load(text, _Loader)
    except NotPlainYamlError as error:
        raise NotPlainYamlError(f"{place}, {error}") from None
    except yaml.YAMLError as error:
        raise NotPlainYamlError(f"{place} is not valid YAML: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
        # Of values that are not what their tag says, such as `!!timestamp x`.
        raise NotPlainYamlError(f"{place} is not valid YAML: a value is not of its type") from error


def read_yaml(path: str | os.PathLike) -> Any:
    """Read a YAML file.

    Raises:
        NotPlainYamlError: See `parse_yaml`; or the file is not text in UTF-8.
        OSError: It cannot be read.
    """
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise NotPlainYamlError(f"{path} is larger than {MAX_BYTES:,} bytes")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotPlainYamlError(f"{path} is not valid YAML: it is not text in UTF-8 ({error})") from error
    return parse_yaml(text, str(path))


def _describe_error(mark: yaml.Mark, reason: str) -> NotPlainYamlError:
    return NotPlainYamlError(f"line {mark.line + 1}: {reason}")
