"""ppreid: unsupervised person re-identification with ISE on PaddlePaddle.

Importing this package imports neither paddle nor numpy; `ppreid.app` is the place where the commands live.
"""

import zlib as _zlib  # noqa: F401 - paddle 2.6 crashes in PNG reading when it is loaded before zlib

__version__ = "0.1.0"
