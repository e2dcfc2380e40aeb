"""Names of test cases that are the same in every process, as tests that several processes share must be."""

import re


def without_addresses(case: object) -> str:
    """A case as text, without the place of its objects in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(case))
