"""Import paths of version 0.1 lead to the same objects, with a warning."""

import importlib
import sys

import pytest

from rsverify._core.moved import MOVED, SPLIT


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_warns_and_is_the_new_module(old: str) -> None:
    if old.startswith("rsverify.smoothing"):
        pytest.importorskip("torch")
    sys.modules.pop(old, None)

    with pytest.warns(DeprecationWarning, match=MOVED[old].replace(".", r"\.")):
        module = importlib.import_module(old)

    assert module is importlib.import_module(MOVED[old])


@pytest.mark.parametrize("old", SPLIT)
def test_an_old_path_of_several_modules_warns_and_has_their_names(old: str) -> None:
    sys.modules.pop(old, None)

    with pytest.warns(DeprecationWarning, match=" and ".join(SPLIT[old]).replace(".", r"\.")):
        module = importlib.import_module(old)

    for new in map(importlib.import_module, SPLIT[old]):
        assert set(new.__all__) <= set(module.__all__)
        assert all(getattr(module, name) is getattr(new, name) for name in new.__all__)


def test_every_public_name_of_the_old_module_of_certificates_is_found() -> None:
    sys.modules.pop("rsverify.certificate", None)
    with pytest.warns(DeprecationWarning, match="rsverify.certificates.counts"):
        module = importlib.import_module("rsverify.certificate")
    wanted = {"ABSTAIN", "Certificate", "certify_counts", "margin_lower_bounds"}
    assert wanted <= set(dir(module))
