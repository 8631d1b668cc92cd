# The runner on CPUs: plans, works (backends openai and transformers) and reduces. Built from the repository's root:
#   docker build -f images/runner.Dockerfile -t localhost/assay-runner:dev .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim

FROM ${BASE_IMAGE} AS requirements
WORKDIR /build
COPY pyproject.toml images/requirements.py ./
RUN python3 requirements.py --base openai transformers media datasets serve demo > requirements.txt

FROM ${BASE_IMAGE} AS dependencies
# Another index to look for torch in, such as one with builds for CPUs alone. Without it, what pip finds.
ARG TORCH_INDEX_URL=
RUN python3 -m venv --without-pip /opt/venv && echo /opt/code > "$(echo /opt/venv/lib/python3.*/site-packages)/assay.pth"
COPY images/constraints.txt /build/
COPY --from=requirements /build/requirements.txt /build/
# Without what only those need who build or test the libraries: 168 MB.
RUN python3 -m pip --python /opt/venv/bin/python install --no-cache-dir \
    --requirement /build/requirements.txt --constraint /build/constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} \
    && cd /opt/venv/lib/python3.*/site-packages \
    && rm -rf torch/include pandas/tests pyarrow/include pyarrow/tests \
    && find numpy scipy -type d -name tests -prune -exec rm -rf {} +

FROM ${BASE_IMAGE} AS code
COPY images/constraints.txt /build/
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir hatchling --constraint /build/constraints.txt
WORKDIR /build/source
COPY pyproject.toml README.md LICENSE ./
COPY crds crds
COPY operator operator
COPY runner runner
RUN /opt/venv/bin/python -m hatchling build -t wheel -d /build/dist \
    && python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-deps --target /opt/code /build/dist/*.whl \
    && rm -r /opt/code/assay_operator /opt/code/bin/assay-operator

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="assay-runner" \
      org.opencontainers.image.description="Plans, works and reduces evaluations, on CPUs" \
      org.opencontainers.image.licenses="Apache-2.0"
# A user without an entry in /etc/passwd still needs a name: torch asks for one.
ENV PATH=/opt/code/bin:/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0 \
    HOME=/tmp HF_HOME=/tmp/huggingface USER=assay
COPY --from=dependencies /opt/venv /opt/venv
COPY examples/tiny-vlm/model /opt/assay/tiny-vlm/model
COPY --from=code /opt/code /opt/code
WORKDIR /opt/assay
USER 65532:65532
ENTRYPOINT ["assay"]
