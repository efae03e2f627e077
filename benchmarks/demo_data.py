"""How far the generated demo data can be solved without a network: a table of mAP and Rank-1.

    python tools/make_demo_data.py
    python benchmarks/demo_data.py data/demo

Rows: HSV histograms in six horizontal stripes, the same on the middle half of the width (less background), 16x32
pixels, and a linear discriminant trained on those pixels with the TRUE training identities (what a linear map could
learn). Protocol of Market-1501: images of the query's identity in the query's camera are left out, identity 0 is a
distractor, a query without a match is left out.
"""

import argparse
import re
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import average_precision_score

STRIPES, BINS = 6, (12, 4, 4)  # hue, saturation, value


def read(folder: Path):
    """RGB images (N, H, W, 3), identities (N,) and cameras (N,) of one folder."""
    paths = sorted(folder.glob("*.jpg"))
    if not paths:
        raise SystemExit(f"no .jpg in {folder}; run python tools/make_demo_data.py first, or name another folder")
    names = np.array([[int(n) for n in re.findall(r"\d+", path.name)[:2]] for path in paths])
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths]), names[:, 0], names[:, 1]


def stripe_histograms(images, *, middle=False):
    rows = []
    for image in images:
        width = image.shape[1]
        crop = image[:, width // 4 : width - width // 4] if middle else image
        hsv = np.asarray(Image.fromarray(crop).convert("HSV"))
        stripes = [
            np.histogramdd(s.reshape(-1, 3), bins=BINS, range=[(0, 256)] * 3)[0].ravel()
            for s in np.array_split(hsv, STRIPES)
        ]
        rows.append(np.sqrt(np.concatenate(stripes) / hsv[..., 0].size))  # Hellinger: square roots, then Euclidean
    return np.stack(rows)


def small_pixels(images):
    return np.stack(
        [np.asarray(Image.fromarray(i).resize((16, 32), Image.Resampling.BOX)).ravel() / 255 for i in images]
    )


def retrieval(query, gallery, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Mean average precision and Rank-1 in plain code, one query at a time."""
    precisions, hits = [], []
    for row, pid, camera in zip(query, query_ids, query_cameras, strict=True):
        keep = ~((gallery_ids == pid) & (gallery_cameras == camera))
        matches = gallery_ids[keep] == pid
        if matches.any():
            distances = ((gallery[keep] - row) ** 2).sum(axis=1)
            precisions.append(average_precision_score(matches, -distances))
            hits.append(matches[distances.argmin()])
    return 100 * np.mean(precisions), 100 * np.mean(hits)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=Path("data/demo"), help="default: data/demo")
    root = parser.parse_args().root
    train, train_ids, _ = read(root / "bounding_box_train")
    query, query_ids, query_cameras = read(root / "query")
    gallery, gallery_ids, gallery_cameras = read(root / "bounding_box_test")
    print(f"{root}: {len(train)} train, {len(query)} query, {len(gallery)} gallery images")
    print(f"{'features':<34}{'mAP':>7}{'Rank-1':>8}{'seconds':>9}")

    def discriminant(images):
        return lda.transform(pca.transform(small_pixels(images)))

    pca = PCA(100, whiten=True, random_state=0).fit(small_pixels(train))
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.1).fit(pca.transform(small_pixels(train)), train_ids)
    features = {
        "HSV histogram, 6 stripes": stripe_histograms,
        "HSV histogram, middle of the image": lambda images: stripe_histograms(images, middle=True),
        "16x32 pixels": small_pixels,
        "linear discriminant, true labels": discriminant,
    }
    for name, extract in features.items():
        start = time.perf_counter()
        scores = retrieval(extract(query), extract(gallery), query_ids, gallery_ids, query_cameras, gallery_cameras)
        print(f"{name:<34}{scores[0]:>7.1f}{scores[1]:>8.1f}{time.perf_counter() - start:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
