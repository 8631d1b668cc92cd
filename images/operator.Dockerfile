# The operator. Built from the repository's root:
#   docker build -f images/operator.Dockerfile -t localhost/assay-operator:dev .
ARG BASE_IMAGE=docker.io/library/python:3.11-slim

FROM ${BASE_IMAGE} AS requirements
WORKDIR /build
COPY pyproject.toml images/requirements.py ./
RUN python3 requirements.py operator > requirements.txt

FROM ${BASE_IMAGE} AS dependencies
RUN python3 -m venv --without-pip /opt/venv && echo /opt/code > "$(echo /opt/venv/lib/python3.*/site-packages)/assay.pth"
COPY images/constraints.txt /build/
COPY --from=requirements /build/requirements.txt /build/
# The Kubernetes client's thousands of generated types are not used, and would be twice as large compiled.
RUN python3 -m pip --python /opt/venv/bin/python install --no-cache-dir --no-compile \
    --requirement /build/requirements.txt --constraint /build/constraints.txt \
    && /opt/venv/bin/python -m compileall -q -x 'kubernetes/.*/(api|models)/' /opt/venv/lib

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
    && rm -r /opt/code/assay_runner /opt/code/bin/assay

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="assay-operator" \
      org.opencontainers.image.description="Runs EvalJobs on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
# One arena for its few threads: memory that one has freed serves the others.
ENV PATH=/opt/code/bin:/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 MALLOC_ARENA_MAX=1 HOME=/tmp USER=assay
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=code /opt/code /opt/code
WORKDIR /opt
USER 65532:65532
ENTRYPOINT ["assay-operator"]
