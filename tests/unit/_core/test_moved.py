"""Import paths of version 0.1 lead to the same objects, with a warning."""

import importlib
import sys

import pytest

from rsverify._core.moved import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_warns_and_is_the_new_module(old: str) -> None:
    if old.startswith("rsverify.smoothing"):
        pytest.importorskip("torch")
    sys.modules.pop(old, None)

    with pytest.warns(DeprecationWarning, match=MOVED[old].replace(".", r"\.")):
        module = importlib.import_module(old)

    assert module is importlib.import_module(MOVED[old])
