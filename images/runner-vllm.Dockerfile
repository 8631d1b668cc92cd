# The runner beside the vLLM of its base image, for GPUs. Built from the repository's root:
#   docker build -f images/runner-vllm.Dockerfile -t localhost/assay-runner-vllm:dev .
# Nothing that the base image has is moved; where it cannot be kept, pip ends the build and says why.
ARG BASE_IMAGE=docker.io/vllm/vllm-openai:v0.33.0

FROM ${BASE_IMAGE} AS requirements
WORKDIR /build
COPY pyproject.toml images/requirements.py images/beside.py images/constraints.txt ./
RUN python3 requirements.py --base openai media datasets serve > requirements.txt && python3 beside.py > beside.txt

FROM ${BASE_IMAGE} AS code
COPY images/constraints.txt /build/
RUN python3 -m pip install --no-cache-dir --target /build/tools hatchling --constraint /build/constraints.txt
WORKDIR /build/source
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY runner runner
RUN PYTHONPATH=/build/tools python3 -m hatchling build -t wheel -d /build/dist \
    && python3 -m pip install --no-cache-dir --no-deps --target /opt/code /build/dist/*.whl \
    && rm -r /opt/code/assay_operator /opt/code/bin/assay-operator

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="assay-runner-vllm" \
      org.opencontainers.image.description="Works on evaluations with vLLM, on GPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN --mount=type=bind,from=requirements,source=/build,target=/build \
    python3 -m pip install --no-cache-dir --requirement /build/requirements.txt --constraint /build/beside.txt
# A user without an entry in /etc/passwd still needs a name: torch asks for one.
ENV PATH=/opt/code/bin:$PATH PYTHONPATH=/opt/code \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 \
    HOME=/tmp HF_HOME=/tmp/huggingface USER=assay
COPY --from=code /opt/code /opt/code
WORKDIR /opt/assay
USER 65532:65532
ENTRYPOINT ["assay"]
