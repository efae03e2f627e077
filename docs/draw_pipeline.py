"""Draw docs/images/pipeline.svg: python docs/draw_pipeline.py > docs/images/pipeline.svg."""

from html import escape

BLUE, GREEN, ORANGE, INK = "#2563a8", "#2f7d4f", "#b3591a", "#1f2933"
BOX_WIDTH, BOX_HEIGHT, GAP, TOP = 150, 64, 34, 74
# title, what comes out of it
EPOCH = [
    ("extract", "features (N, D)"),
    ("neighbours", "k1 most similar images"),
    ("Jaccard distance", "sparse, pairs within eps"),
    ("DBSCAN", "clusters, outliers (-1)"),
    ("memory", "centroids (C, D)"),
]
STEP = [
    ("sample", "P clusters x K images"),
    ("network", "features (B, D)"),
    ("support samples", "towards the next cluster"),
    ("losses", "contrast + label-preserving"),
    ("step", "Adam, then the memory"),
]


def left(column: int) -> int:
    """Left edge of a column of boxes."""
    return 40 + column * (BOX_WIDTH + GAP)


def text(x: float, y: float, words: str, *, size: int = 13, colour: str = INK, weight: str = "400") -> str:
    """Centred text."""
    style = f'font-size="{size}" fill="{colour}" font-weight="{weight}" text-anchor="middle"'
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>'


def box(column: int, y: int, title: str, result: str, colour: str) -> str:
    """A stage of the pipeline."""
    x, middle = left(column), left(column) + BOX_WIDTH / 2
    frame = f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" fill="#fff" stroke="{colour}"/>'
    title = text(middle, y + 27, title, size=15, colour=colour, weight="600")
    return "\n".join([frame, title, text(middle, y + 48, result, size=11.5)])


def arrow(path: str, colour: str) -> str:
    """A line with a head at its end."""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="1.6" marker-end="url(#{colour[1:]})"/>'


def row(stages: list[tuple[str, str]], y: int, colour: str) -> list[str]:
    """Stages from left to right, with arrows between them."""
    parts = [box(column, y, title, result, colour) for column, (title, result) in enumerate(stages)]
    middle = y + BOX_HEIGHT // 2
    parts += [arrow(f"M{left(c) - GAP + 2} {middle} H{left(c) - 5}", colour) for c in range(1, len(stages))]
    return parts


def supports(x: int, y: int) -> list[str]:
    """What a support sample is: a feature moved from its own centroid towards the nearest other one."""
    own, other = (x + 60, y + 60), (x + 230, y + 60)
    parts = [
        f'<circle cx="{centre[0]}" cy="{centre[1]}" r="48" fill="{colour}" opacity="0.13"/>'
        for centre, colour in ((own, BLUE), (other, GREEN))
    ]
    for dx, dy in ((-24, -12), (-10, 22), (-2, -26), (20, 6), (12, -14)):
        parts.append(f'<circle cx="{own[0] + dx}" cy="{own[1] + dy}" r="4" fill="{BLUE}"/>')
        parts.append(f'<circle cx="{other[0] - dx}" cy="{other[1] + dy}" r="4" fill="{GREEN}"/>')
    for centre, name in ((own, "c_own"), (other, "c_near")):
        parts.append(f'<path d="M{centre[0] - 5} {centre[1]} h10 m-5 -5 v10" stroke="{INK}" stroke-width="2"/>')
        parts.append(text(centre[0], centre[1] + 66, name, size=12))
    parts.append(arrow(f"M{own[0] + 24} {own[1] + 6} h38", ORANGE))
    parts.append(f'<circle cx="{own[0] + 74}" cy="{own[1] + 6}" r="5" fill="none" stroke="{ORANGE}" stroke-width="2"/>')
    return [*parts, text(x + 145, y + 5, "f + degree (c_near - c_own)", size=12, colour=ORANGE)]


def main() -> None:
    """Print the picture."""
    width, height = left(5) + 6, 500
    last, first = left(4) + BOX_WIDTH // 2, left(0) + BOX_WIDTH // 2
    step_top = 232
    heads = "".join(
        f'<marker id="{colour[1:]}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0 L8 4 L0 8 z" fill="{colour}"/></marker>'
        for colour in (BLUE, GREEN, ORANGE)
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
        "<title>ISE: pseudo labels once per epoch, a training step with support samples many times</title>",
        f'<defs>{heads}</defs><rect width="{width}" height="{height}" fill="#fbfcfd"/>',
        text(width / 2, 40, "once per epoch: pseudo labels from the features of all N images", size=16, weight="600"),
        *row(EPOCH, TOP, BLUE),
        arrow(f"M{last} {TOP + BOX_HEIGHT} V{TOP + BOX_HEIGHT + 28} H{first} V{step_top - 6}", BLUE),
        text(width / 2, TOP + BOX_HEIGHT + 56, "then many steps with these labels", size=16, weight="600"),
        *row(STEP, step_top, GREEN),
        arrow(f"M{last} {step_top + BOX_HEIGHT} v28 H{first} V{step_top + BOX_HEIGHT + 6}", GREEN),
        *supports(left(2) - 70, step_top + 124),
        text(left(0) + 90, step_top + 172, "A support sample keeps the label", size=12),
        text(left(0) + 90, step_top + 190, "of its image: it stands for views", size=12),
        text(left(0) + 90, step_top + 208, "of the person that are missing.", size=12),
        text(left(4) + 30, step_top + 172, "The degree grows from 0 to", size=12),
        text(left(4) + 30, step_top + 190, "a quarter during training", size=12),
        text(left(4) + 30, step_top + 208, "(ise/support_samples.py).", size=12),
        "</svg>",
    ]
    print("\n".join(parts))


if __name__ == "__main__":
    main()
