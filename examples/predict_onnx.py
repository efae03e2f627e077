"""Features of images with an exported network and nothing of ppreid: numpy, Pillow and onnxruntime are enough.

    python examples/predict_onnx.py exported/model.onnx query.jpg gallery/*.jpg

prints the cosine similarity of the first image to each of the others, best first.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def features_of(model_file: str, image_files: list[str]) -> np.ndarray:
    """Unit feature vectors (N, D) of image files."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(model_file, options, providers=["CPUExecutionProvider"])
    description = json.loads(session.get_modelmeta().custom_metadata_map["ppreid"])
    _, height, width, _ = description["input"]["shape"]
    images = []
    for name in image_files:
        with Image.open(name) as image:
            resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        images.append(np.asarray(resized))  # (H, W, 3) uint8; the network normalises
    return session.run(["features"], {"images": np.stack(images)})[0]


def main() -> None:
    """Compare the first image with the others."""
    model_file, query, *gallery = sys.argv[1:]
    features = features_of(model_file, [query, *gallery])
    similarities = features[1:] @ features[0]  # (N - 1,)
    for row in np.argsort(-similarities):
        print(f"{similarities[row]:.4f}  {gallery[row]}")


if __name__ == "__main__":
    main()
