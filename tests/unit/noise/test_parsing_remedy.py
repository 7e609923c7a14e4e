"""A noise with too few or too many parameters: the line shows how it is written."""

import pytest

from rsverify.noise import parse_noise


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("ablation:2", "ablation:KEEP,OF"),
        ("ablation:2,9,4", "ablation:KEEP,OF"),
        ("uniform:1,2", "uniform:HALF_WIDTH"),
        ("laplace:1,2", "laplace:SCALE"),
        ("deletion:0.5,2", "deletion:PROBABILITY"),
    ],
)
def test_the_form_is_shown(text: str, form: str) -> None:
    with pytest.raises(ValueError, match=f"noise='{text}' must have its parameters as {form}$"):
        parse_noise(text)
