"""Normalization and image processors, against their formulas and against transformers' own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.models.preprocess import ImageProcessor, Normalize  # noqa: E402

BATCH = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16])
def test_normalize_is_its_formula(kind: torch.dtype) -> None:
    mean, std = [0.5, 0.25, 0.0], [0.5, 2.0, 1.0]
    found = Normalize(mean, std)(BATCH.to(kind))
    assert found.dtype == kind
    for channel in range(3):
        expected = (BATCH[:, channel].to(kind) - mean[channel]) / std[channel]
        assert torch.equal(found[:, channel], expected)
    assert torch.equal(Normalize(0.5, 0.5)(BATCH), (BATCH - 0.5) / 0.5)
    assert torch.equal(Normalize([0.5] * 3, 0.5)(BATCH), (BATCH - 0.5) / 0.5)
    assert torch.equal(Normalize(0.5, [0.5] * 3)(BATCH), (BATCH - 0.5) / 0.5)
    assert torch.equal(Normalize(0.5, 0.5)(BATCH[:, :, 0, 0]), (BATCH[:, :, 0, 0] - 0.5) / 0.5)


def test_normalize_says_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="mean of length 3 and std of length 2 must be of one"):
        Normalize([0.5, 0.5, 0.5], [0.5, 0.5])
    with pytest.raises(ValueError, match="std=0 must be positive"):
        Normalize(0.5, 0)
    with pytest.raises(ValueError, match="mean"):
        Normalize(float("nan"), 0.5)
    with pytest.raises(ValueError, match=r"mean=\[inf\] must be finite"):
        Normalize([float("inf")], [0.5])
    with pytest.raises(TypeError, match=r"mean='0\.5' must be a number, or one per channel"):
        Normalize("0.5", 0.5)
    with pytest.raises(ValueError, match=r"shape \(8, 6, 3\): their first dimension must be the"):
        Normalize([0.5] * 3, [0.5] * 3)(BATCH.permute(0, 2, 3, 1))


def test_a_preprocess_is_part_of_what_is_certified() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 6, 3))
    inside = torch.nn.Sequential(Normalize(0.5, 0.1), model)
    votes = [
        SmoothedClassifier(m, 3, 0.5, preprocess=p).counts(BATCH[0], n=100, seed=0).tolist()
        for m, p in ((model, Normalize(0.5, 0.1)), (inside, None))
    ]
    assert votes[0] == votes[1]


PROCESSORS: dict[str, dict[str, Any]] = {
    "square": {"size": {"height": 12, "width": 10}, "resample": 2},
    "bicubic, smaller": {"size": {"height": 5, "width": 4}, "resample": 3},
    "nearest": {"size": {"height": 16, "width": 12}, "resample": 0},
    "only normalized": {"do_resize": False, "size": {"height": 99, "width": 99}},
    "of one size": {"size": {"height": 8, "width": 6}, "resample": 2},
}
NUMBERS = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


@pytest.mark.parametrize("name", PROCESSORS)
def test_steps_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    """Pillow rounds a resized pixel to a byte: within one, over the smallest standard deviation."""
    vit = pytest.importorskip("transformers.models.vit.image_processing_pil_vit")
    processor = vit.ViTImageProcessorPil(**PROCESSORS[name], **NUMBERS)
    images = (BATCH.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    expected = processor(list(images), return_tensors="pt")["pixel_values"]
    processor.save_pretrained(tmp_path)
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    for given in (processor, tmp_path, processor.to_dict()):
        found = ImageProcessor(given)(inputs)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1.01 / 255 / 0.2


@pytest.mark.parametrize(("edge", "shape"), [(4, (4, 4)), (384, (384, 384))])
def test_convnext_crops_below_384_and_resizes_from_there(edge: int, shape: tuple[int, int]) -> None:
    convnext = pytest.importorskip("transformers.models.convnext.image_processing_pil_convnext")
    options = {"size": {"shortest_edge": edge}, "crop_pct": 0.8, "resample": 2, **NUMBERS}
    processor = convnext.ConvNextImageProcessorPil(**options)
    image = (BATCH[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    expected = processor([image], return_tensors="pt")["pixel_values"]
    found = ImageProcessor(processor)(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    assert tuple(found.shape[-2:]) == shape == tuple(expected.shape[-2:])
    assert (found - expected).abs().max() < 1.01 / 255 / 0.2


def test_center_crop_after_the_shorter_edge() -> None:
    steps = {
        "do_resize": True, "size": {"shortest_edge": 6}, "resample": 2, "do_center_crop": True,
        "crop_size": {"height": 4, "width": 2}, "do_normalize": False,
    }  # fmt: skip
    assert torch.equal(ImageProcessor(steps)(BATCH), BATCH[:, :, 2:6, 2:4])
    with pytest.raises(ValueError, match="8 × 6 cannot be cropped to 9 × 9"):
        ImageProcessor(steps | {"crop_size": 9})(BATCH)


def test_other_factors_and_offsets() -> None:
    steps = {"do_rescale": True, "rescale_factor": 1 / 127.5, "rescale_offset": True}
    assert torch.allclose(ImageProcessor(steps)(BATCH), BATCH * 2 - 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ({"do_pad": True}, "step do_pad is not known here: give preprocess a function"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order"),
        ({"do_rescale": False}, "do_rescale false"),
        ({"size": {"longest_edge": 5}}, "size=.* must be a height and width, or the shorter edge"),
        ({"size": {"height": 5}}, "size=.* must be a height"),
        ({"size": {"height": 5, "width": 5}, "resample": 1}, "resample=1 must be nearest"),
        ({"do_normalize": True, "image_mean": None, "image_std": 1.0}, "image_mean=None must be"),
        (
            {"do_normalize": True, "image_mean": [0.5], "image_std": [0.0]},
            "std=.* must be positive",
        ),
        ({"rescale_factor": -1}, "rescale_factor=-1 must be positive"),
    ],
)
def test_steps_that_are_not_known_are_refused(steps: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageProcessor(steps)


def test_one_number_for_a_size_needs_square_images() -> None:
    process = ImageProcessor({"do_resize": True, "size": 4, "resample": 2})
    assert process(BATCH[..., :6, :]).shape == (2, 3, 4, 4)
    with pytest.raises(ValueError, match="size=4 is a square or the shorter edge; for images of 8"):
        process(BATCH)


def test_files_and_their_faults(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"preprocessor_config\.json does not exist"):
        ImageProcessor(tmp_path)
    path = tmp_path / "preprocessor_config.json"
    for content, message in (("{", "is not a JSON file"), ("[1]", "does not hold an image proc")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            ImageProcessor(tmp_path)
    path.write_text(json.dumps({"image_processor": {"size": {"height": 4, "width": 4}}}))
    assert ImageProcessor(path)(BATCH).shape == (2, 3, 4, 4)
    with pytest.raises(TypeError, match="processor=3 must be a folder"):
        ImageProcessor(3)


def test_hashes_tell_preprocessing_apart() -> None:
    made = [
        Normalize(0.5, 0.5),
        Normalize(0.5, 0.25),
        ImageProcessor({"size": {"height": 4, "width": 4}, "resample": 2}),
        ImageProcessor({"size": {"height": 4, "width": 4}, "resample": 3}),
    ]
    assert len({m.rsverify_hash() for m in made}) == 4
