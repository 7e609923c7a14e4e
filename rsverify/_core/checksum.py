"""Checksums of lines and texts: what a damaged disk or a careless edit changes shows.

CRC-32: any change within 32 neighboring bits is found for sure, and any change of three bits
of a line of at most 11,000 bytes; anything else with probability 1 − 2⁻³². It is not a protection
against somebody who wants to deceive: who edits a line can write the checksum that fits.
"""

from __future__ import annotations

import zlib


def checksum(data: bytes, of: bytes = b"") -> str:
    """Return the checksum of `data` as it follows `of`, eight hexadecimal digits."""
    return f"{zlib.crc32(data, zlib.crc32(of)):08x}"
