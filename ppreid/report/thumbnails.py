"""Small pictures that live inside the page."""

import io
from base64 import b64encode

from PIL import Image

from ppreid.base.errors import DataError
from ppreid.datasets.image_dataset import load_image

HEIGHT, MAX_WIDTH = 128, 128  # twice the size on the page, for sharp displays
_QUALITIES = (75, 55, 35)
MAX_BYTES = 2600  # what keeps a page of 5,000 pictures below 20 MB; few crops of people reach it


class Thumbnails:
    """Pictures as data URIs, each file read once."""

    def __init__(self) -> None:
        """Nothing is read yet."""
        self._uris: dict[str, str] = {}

    def uri(self, path: str) -> str:
        """The picture of a file as a JPEG data URI; "" if the file cannot be read."""
        if path not in self._uris:
            try:
                self._uris[path] = _data_uri(load_image(path))
            except DataError:
                self._uris[path] = ""
        return self._uris[path]


def _data_uri(image: Image.Image) -> str:
    """At most HEIGHT high and MAX_WIDTH wide, of the best quality that fits into MAX_BYTES, else of the lowest."""
    image.thumbnail((MAX_WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    for quality in _QUALITIES:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        if data.tell() <= MAX_BYTES:
            break
    return "data:image/jpeg;base64," + b64encode(data.getvalue()).decode("ascii")
