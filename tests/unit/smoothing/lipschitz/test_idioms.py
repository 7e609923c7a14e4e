"""What is bounded is what is sampled: bounded as it is, or refused by name."""

import pytest
import torch
from support.idioms import SEEN, UNSEEN, Idiom
from torch import nn

from rsverify.smoothing.lipschitz.bound import lipschitz_bound


FACTOR = 200.0


@pytest.mark.parametrize("name", SEEN)
def test_what_a_tensor_is_makes_no_difference(name):
    module = Idiom(SEEN[name], FACTOR, late=0).double()

    assert lipschitz_bound(module, (4,)) == pytest.approx(FACTOR, rel=1e-9)


@pytest.mark.parametrize("late", [0, 3, 10**9])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_is_not_seen_is_refused_by_the_modules_name(name, late):
    layer = Idiom(UNSEEN[name], FACTOR, late).double()
    module = nn.Sequential(nn.Identity(), layer, nn.Linear(4, 2).double())

    with pytest.raises(ValueError, match=r"^no Lipschitz constant for [^:]*\b(1|2|Sequential|Idiom)"):
        lipschitz_bound(module, (4,))


@pytest.mark.parametrize("name", SEEN)
def test_idioms_have_the_slope_that_is_bounded(name):
    x, d = torch.zeros(1, 4).double(), torch.eye(4).double()[:1]
    layer = Idiom(SEEN[name], FACTOR, late=0).double()
    with torch.no_grad():
        slope = (layer(x + d) - layer(x.clone())).norm()

    assert slope == pytest.approx(FACTOR)
