"""A classifier for programs without torch: as an ONNX file."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gclib.classifier import Classifier
from gclib.files import require_writable, write_atomically

__all__ = ["export_onnx"]


class _Probabilities(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(images).softmax(1)


def export_onnx(classifier: Classifier, path: str | Path) -> float:
    """Write a classifier as an ONNX file: normalised images ``(B, 3, H, W)`` in, probabilities ``(B, C)`` out.

    The metadata of the file hold the card of the classifier as JSON: its classes, and how images are normalised.

    Parameters
    ----------
    classifier
        As `gclib.load_classifier` returns it.
    path
        Where to write.

    Returns
    -------
    float
        Greatest difference of a probability from torch's, on images of noise, as onnxruntime computes the file.

    Raises
    ------
    ModuleNotFoundError
        If onnx, onnxscript or onnxruntime is not installed.
    UserError
        If nothing can be written there.
    """
    import onnx
    import onnxruntime

    require_writable(path := Path(path))
    card = classifier.card
    # Compared on another number of images than it is traced with.
    images = torch.randn(3, 3, card.height, card.width, generator=torch.Generator().manual_seed(0))
    whole = _Probabilities(classifier).eval()
    program = torch.onnx.export(
        whole,
        (images[:2],),
        dynamo=True,
        input_names=["images"],
        output_names=["probabilities"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    onnx.helper.set_model_props(model, {"card": card.model_dump_json()})
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        expected = whole(images)
    write_atomically(path, content)
    return float((torch.from_numpy(found) - expected).abs().max())
