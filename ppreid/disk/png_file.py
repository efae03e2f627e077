"""Pictures that commands draw, as PNG, marked so that the next call knows them for its own."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ppreid.disk.files import replacing


def write_png(path: Path, picture: Image.Image) -> None:
    """Write a picture completely or not at all, with "ppreid" as the software that made it.

    Args:
        path: file to write, or "-" for standard output.
        picture: in any mode that PNG has.

    Raises:
        WriteError: the file cannot be written.
    """
    mark = PngInfo()
    mark.add_text("Software", "ppreid")  # what `ppreid.disk.outputs` looks for
    with replacing(path) as file:
        picture.save(file, "PNG", pnginfo=mark)
