"""A noise with too few or too many parameters: the line shows how it is written."""

import pytest

from rsverify.noise import DiscreteGaussian, Gaussian, Noise, Uniform, parse_noise


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ablation:2", "ablation:KEEP,OF"),
        ("ablation:2,9,4", "ablation:KEEP,OF"),
        ("uniform:1,2", "uniform:HALF_WIDTH"),
        ("laplace:1,2", "laplace:SCALE"),
        ("deletion:0.5,2", "deletion:PROBABILITY"),
        ("uniform", "uniform:HALF_WIDTH"),
        ("discrete:0.25,1/0", "discrete:SIGMA,LATTICE"),
        ("gaussian:", "gaussian:SIGMA"),
        ("gaussian:0.5;0.25", "gaussian:SIGMA"),
        ("ablation:few,9", "ablation:KEEP,OF"),
    ],
)
def test_the_form_is_shown(text: str, form: str) -> None:
    with pytest.raises(
        ValueError, match=f"noise='{text}' must have its parameters as {form}, each"
    ):
        parse_noise(text)


@pytest.mark.parametrize(
    ("text", "noise"),
    [
        ("discrete:0.25,1/255", DiscreteGaussian(0.25, 1 / 255)),
        ("gaussian:1/4,1/3", Gaussian([1 / 4, 1 / 3])),
        ("uniform: 3/2", Uniform(1.5)),
    ],
)
def test_fractions_are_numbers(text: str, noise: Noise) -> None:
    assert parse_noise(text) == noise
