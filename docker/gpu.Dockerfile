# ppreid with the public registry's paddlepaddle-gpu, for cards of compute capability 6.1 to 8.9 (docs/installation.md):
#     docker build -f docker/gpu.Dockerfile -t ppreid-gpu .
#     docker run --rm --gpus all -v "$PWD:/work" ppreid-gpu doctor --environment-only
# That build brings no libraries of CUDA; this image has those that it was built with.
FROM nvidia/cuda:11.8.0-cudnn8-runtime-ubuntu22.04

RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/ppreid
RUN python3 -m venv /opt/python \
    && /opt/python/bin/pip install --no-cache-dir "/opt/ppreid[gpu]"
ENV PATH=/opt/python/bin:$PATH

RUN useradd --create-home ppreid
USER ppreid
WORKDIR /work
ENTRYPOINT ["ppreid"]
