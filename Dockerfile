# An image of aes_lipi with Ray, for one machine or for KubeRay (cluster/README.md):
#
#     docker build --tag aes_lipi .
#     docker run --rm --volume "$PWD/results:/results" aes_lipi \
#         python run.py --rq quickstart --output_dir /results/quickstart
#
# torch is what pip's index holds. Another build of the same version, for the CPU alone or for a
# CUDA version, comes from the index that holds it:
#
#     docker build --tag aes_lipi:cuda --build-arg TORCH_INDEX=URL .

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS build
ARG TORCH_INDEX=""
WORKDIR /build
RUN python -m venv /opt/aes_lipi
ENV PATH=/opt/aes_lipi/bin:$PATH
COPY constraints.txt ./
# What is large and seldom changes comes first.
RUN pip install --no-cache-dir --constraint constraints.txt \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch "ray[default]"
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY aes_lipi aes_lipi
RUN pip install --no-cache-dir --constraint constraints.txt ".[cluster,torch]"

FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d
# KubeRay asks with wget whether a node is well; on a GPU, torch compiles with gcc.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev wget \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 aes_lipi \
    && install --directory --owner=1000 --group=1000 /results
COPY --from=build /opt/aes_lipi /opt/aes_lipi
COPY run.py /home/aes_lipi/run.py
ENV PATH=/opt/aes_lipi/bin:$PATH \
    OMP_NUM_THREADS=1 \
    RAY_AUTH_MODE=token \
    RAY_USAGE_STATS_ENABLED=0 \
    RAY_max_direct_call_object_size=1000000
USER 1000
WORKDIR /home/aes_lipi
CMD ["python", "run.py", "--help"]
