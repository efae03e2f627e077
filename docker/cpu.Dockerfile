# ppreid on the CPU:
#     docker build -f docker/cpu.Dockerfile -t ppreid .
#     docker run --rm -v "$PWD:/work" ppreid doctor --environment-only
FROM python:3.11-slim-bookworm

# paddle's library wants it, and its wheel does not bring it
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*

COPY . /opt/ppreid
RUN pip install --no-cache-dir "/opt/ppreid[cpu]"

RUN useradd --create-home ppreid
USER ppreid
WORKDIR /work
ENTRYPOINT ["ppreid"]
