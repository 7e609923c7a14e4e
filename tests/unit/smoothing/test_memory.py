"""Too little memory is recognized, whoever reports it, and batches are halved until they fit."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.one_class import CLASSES, WAYS, always, smoothed, table_of  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.device import exhausted, first_batch_size, indexable_batch_size  # noqa: E402
from rsverify.smoothing.sampling.forward import OutOfMemoryWarning  # noqa: E402

EXHAUSTED = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 512.00 MiB."),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("hipErrorOutOfMemory"),
    RuntimeError("XPU out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError(
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a "
        "non-contiguous input."
    ),
    RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("CUDA driver error: CUDA_ERROR_OUT_OF_MEMORY"),
    RuntimeError("cudaErrorMemoryAllocation"),
    RuntimeError("HIP error: hipErrorMemoryAllocation"),
    RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    RuntimeError("Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"),
    RuntimeError("onnxruntime::BFCArena::AllocateRawInternal Available memory of 9 is smaller"),
    RuntimeError("OOM when allocating tensor with shape[4096,3,224,224]"),
    RuntimeError("could not create a memory object"),
    RuntimeError("[MPSNDArray initWithDevice:descriptor:] Error: total bytes of NDArray > 2**32'"),
    OSError(12, "Cannot allocate memory"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
    RuntimeError("miopenStatusAllocFailed"),
    RuntimeError("rocblas_status_memory_error"),
    RuntimeError("MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)."),
    RuntimeError("Invalid buffer size: 36.00 GB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
    MemoryError("std::bad_alloc"),
    MemoryError("Unable to allocate 64.0 GiB for an array"),
    Exception("Failed to allocate memory for requested buffer of size 1073741824"),
    RuntimeError("Expected canUse32BitIndexMath(input) && canUse32BitIndexMath(output) to be true"),
    RuntimeError("upsample_nearest2d only supports input tensors with less than INT_MAX elements"),
    RuntimeError("CUDA error: invalid configuration argument"),
]


def wrapped(error: Exception, how: str) -> BaseException:
    if how == "as it is":
        return error
    if how == "inner":
        from torch._dynamo.exc import BackendCompilerFailed

        return BackendCompilerFailed(lambda: None, error, None)
    try:
        try:
            raise error
        except Exception as inner:
            if how == "cause":
                raise RuntimeError("backend='inductor' raised") from inner
            raise RuntimeError("while the compiler ran")  # noqa: B904
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize("how", ["as it is", "cause", "context", "inner"])
@pytest.mark.parametrize("error", EXHAUSTED, ids=lambda e: str(e)[:40])
def test_too_little_memory_is_recognized(error, how):
    assert exhausted(wrapped(error, how)) in ("out of memory", "beyond what kernels index")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (64x5 and 6x4)"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm`"),
        RuntimeError("out of resource: shared memory, Required: 147456, Hardware limit: 101376"),
        RuntimeError("Expected all tensors to be on the same device"),
        ValueError("class 7 is out of memory bank range"),
        ValueError("one input alone does not fit into memory"),
        KeyboardInterrupt(),
        StopIteration(),
    ],
    ids=str,
)
def test_other_errors_are_not_taken_for_it(error):
    assert exhausted(error) is None


def test_an_error_that_caused_itself_ends():
    error = RuntimeError("odd")
    error.__context__ = error
    assert exhausted(error) is None


@pytest.mark.parametrize("error", EXHAUSTED[::4], ids=lambda e: str(e)[:30])
@pytest.mark.parametrize("way", WAYS)
def test_batches_are_halved_until_they_fit(gpus, tmp_path, error, way):
    sizes: list[int] = []
    model = always(2, sizes)

    def limited(batch):
        if len(batch) > 20:
            raise error
        return model(batch)

    classifier = SmoothedClassifier(limited, CLASSES, 0.5, device="cuda:1")
    table = table_of(classifier, tmp_path / "table.tsv", batch_size=64, **WAYS[way])
    assert (table["predict"] == 2).all()
    assert max(sizes) == 16
    assert gpus.emptied > 0
    assert gpus.contexts == {1}


@pytest.mark.parametrize("limit", [9, 20])
def test_a_bound_of_scores_stays_with_the_batch_size_that_fitted(
    gpus, monkeypatch, tmp_path, limit
):
    """Where sampling takes more memory than the trial did."""
    from rsverify.smoothing.sampling.session import Session

    failed: list[int] = []
    running: list[bool] = []
    model, run = always(2), Session.run

    def noted(self, *given, **more):
        running.append(True)
        return run(self, *given, **more)

    monkeypatch.setattr(Session, "run", noted)

    def limited(batch):
        if running and len(batch) > limit:
            failed.append(len(batch))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return model(batch)

    classifier = SmoothedClassifier(limited, CLASSES, 0.5, device="cuda:1")
    table = table_of(
        classifier, tmp_path / "t.tsv", torch.rand(9, 5), batch_size=64, **WAYS["scores"]
    )
    assert (table["predict"] == 2).all()
    assert len(failed) <= 3 * 5  # the three inputs under way, each down from 64
    assert gpus.emptied == len(failed)


@pytest.mark.parametrize("kind", [ValueError, TypeError])
@pytest.mark.parametrize("way", WAYS)
def test_a_runtime_that_wraps_its_errors_is_understood(tmp_path, kind, way):
    """As models of ONNX do, whose runtime has errors of its own."""
    sizes: list[int] = []
    model = always(1, sizes)

    def wrapping(batch):
        if len(batch) > 10:
            try:
                raise Exception("Failed to allocate memory for requested buffer of size 9")
            except Exception as error:
                raise kind(f"the runtime refuses a batch of {len(batch)}") from error
        return model(batch)

    table = table_of(SmoothedClassifier(wrapping, CLASSES, 0.5), tmp_path / "t.tsv", **WAYS[way])
    assert (table["predict"] == 1).all()
    assert max(sizes) == 8


def test_what_never_fits_says_what_the_library_said(tmp_path):
    def broken(_batch):
        raise RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This may be something else.")

    classifier = SmoothedClassifier(broken, CLASSES, 0.5)
    with pytest.raises(ValueError, match=r"does not fit into memory: RuntimeError: cuDNN error"):
        table_of(classifier, tmp_path / "table.tsv")


# Sizes.

CUDA = torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((3, 224, 224), 256),
        ((3, 299, 299), 128),
        ((3, 32, 32), 4096),
        ((1, 28, 28), 4096),
        ((1, 128, 128, 128), 16),
        ((2**31,), 1),
    ],
)
def test_the_first_batch_can_be_indexed(shape, size):
    """By 32 bits, its widest layers of 32 times the numbers included."""
    assert first_batch_size(CUDA, shape) == size
    assert first_batch_size(torch.device("cpu"), shape) == 64


@pytest.mark.parametrize(
    ("wanted", "shape", "size"),
    [(4096, (3, 224, 224), 4096), (20_000, (3, 224, 224), 10_000), (10**12, (3, 32, 32), 476_838)],
)
def test_a_batch_that_is_asked_for_can_be_indexed(wanted, shape, size):
    assert indexable_batch_size(wanted, CUDA, shape) == size
    assert size * math.prod(shape) < 2**31


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_is_held_once(gpus, channels_last):
    """Not made in one memory format and copied to the other."""
    from rsverify.smoothing.sampling.session import Execution, Session

    x = torch.rand(3, 8, 8)
    session = Session(smoothed(2), x, Execution(channels_last=channels_last))
    gpus.made.clear()
    batch = session.new_batch(1000)
    assert batch.is_contiguous(memory_format=torch.channels_last) == channels_last
    makers = ("empty", "clone", "copy", "contiguous", "zeros", "empty_like")
    made = [name for name, shape in gpus.made if shape == (1000, 3, 8, 8)]
    assert sum(any(maker in name for maker in makers) for name in made) == 1, made


@pytest.mark.parametrize("call", ["certify", "betting", "predict", "counts", "scores"])
def test_one_input_goes_on_with_smaller_batches(call: str) -> None:
    x, sizes = torch.tensor([0.1, 0.9, 0.3, 0.2]), list[int]()

    def limited(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 20:
            raise torch.OutOfMemoryError("too many")
        sizes.append(len(batch))
        return batch[:, :3]

    def asked(model: Any) -> object:
        smoothed = SmoothedClassifier(model, 3, 0.25)
        options = {"n": 200, "seed": 0}
        if call == "betting":
            return smoothed.certify(x, **options, bound="betting").radius
        found = getattr(smoothed, call)(x, **options)
        return found.radius if call == "certify" else np.asarray(found).tolist()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfMemoryWarning)
        found = asked(limited)

    assert found == asked(lambda batch: batch[:, :3])
    assert max(sizes) <= 20
