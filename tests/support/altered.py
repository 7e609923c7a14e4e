"""Certificates with fields that are not theirs, as whoever forges one makes them."""

from __future__ import annotations

from dataclasses import fields, replace

from rsverify import Certificate
from rsverify.certificates.parts import Claim, Evidence


def altered(certificate: Certificate, **changes: object) -> Certificate:
    """Return a certificate with other fields, whichever of its records they belong to."""
    parts: dict[str, object] = {}
    for name, kind in (("claim", Claim), ("evidence", Evidence)):
        own = {f.name for f in fields(kind)} & changes.keys()
        part = {n: changes.pop(n) for n in own}
        parts[name] = replace(getattr(certificate, name), **part)
    return replace(certificate, **parts, **changes)  # type: ignore[arg-type]
