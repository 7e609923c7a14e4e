"""No attack gets inside a certified radius: the study of all noise, on a few inputs."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("sklearn")

from coverage_studies import threat_attacks

SLOW = {"ablation", "deletion"}  # 300 epochs of training


@pytest.mark.parametrize(
    "threat",
    [
        pytest.param(t, marks=[pytest.mark.slow] if t.noise.name in SLOW else [])
        for t in threat_attacks.THREATS
        if t.norm != "linf" or t.noise.name != "uniform"  # where no attack is strong enough
    ],
    ids=lambda t: f"{t.noise.name}-{t.norm}{'-lattice' * ('lattice' in t.options)}",
)
def test_attacks_change_nothing_within_the_radius_and_much_beyond(threat):
    found = threat_attacks.study(threat, 4)
    near, far = (v for k, v in found.items() if k.startswith("within"))
    assert found["certified"] == 4
    assert near["changed"] == 0
    assert far["changed"] > 0
