# syntax=docker/dockerfile:1

# Three images from one file: `service` (no model code), `worker` (ONNX Runtime, no torch) and
# `worker-gpu` (torch with CUDA). docker-compose.yml builds each as a target; BuildKit makes only
# the stages that the target needs.

FROM python:3.11-slim-trixie AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_CACHE_DIR=/var/cache/pip \
    PATH=/opt/rankgres/bin:$PATH

# --- Packages: a stage for each set, keyed on pyproject.toml alone, so that code edits are quick ---

FROM base AS service-packages
# Blank: pip's own default. Others for a mirror, or for a build of torch other than the default.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
RUN python -m venv /opt/rankgres
COPY pyproject.toml .
# Prints the requirements of the extras named, or of the package itself where none is.
COPY --chmod=755 <<'SCRIPT' requirements
#!/usr/bin/env python
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
extras = project["optional-dependencies"]
for names in [extras[extra] for extra in sys.argv[1:]] or [project["dependencies"]]:
    print(*names, sep="\n")
SCRIPT
RUN --mount=type=cache,target=/var/cache/pip \
    ./requirements > service.txt && pip install --requirement service.txt

FROM service-packages AS worker-packages
RUN --mount=type=cache,target=/var/cache/pip \
    ./requirements onnx > worker.txt && pip install --requirement worker.txt

FROM worker-packages AS torch-packages
RUN --mount=type=cache,target=/var/cache/pip \
    ./requirements torch > torch.txt && pip install --requirement torch.txt

# --- Rankgres itself, with the bundled reranker ---

FROM base AS wheel
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /build
COPY pyproject.toml README.md LICENSE ./
COPY service service
COPY migrations migrations
COPY workers workers
RUN --mount=type=cache,target=/var/cache/pip pip wheel --no-deps --wheel-dir /wheels .

# --- Models as int8 ONNX: torch makes them here, once, and stays out of the worker's image ---

FROM torch-packages AS models
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
# The defaults come with the packages; others are fetched from the hub.
ARG RANKGRES_EMBEDDING_MODEL=sentence-transformers/all-MiniLM-L6-v2
ARG RANKGRES_RERANKER_MODEL=rankgres/reranker-v1
RUN RANKGRES_MODEL_FOLDER=/models python -m workers.inference.onnx_cache

# --- What runs ---

FROM base AS runtime
ENV RANKGRES_HOME=/var/lib/rankgres \
    HF_HOME=/var/lib/rankgres/models/hub
# Not root; a number that is free on most hosts. The folder is made here so that a volume mounted
# on it starts out as this user's.
RUN useradd --uid 10001 --home-dir /var/lib/rankgres --shell /usr/sbin/nologin rankgres \
    && install --directory --owner=rankgres --group=rankgres \
        /var/lib/rankgres /var/lib/rankgres/models
WORKDIR /var/lib/rankgres

FROM runtime AS worker-gpu
COPY --from=torch-packages /opt/rankgres /opt/rankgres
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
USER rankgres
CMD ["rankgres", "worker", "rerank"]
# A worker's health depends on its queue.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m \
    CMD ["rankgres", "doctor", "--worker", "rerank"]

FROM runtime AS worker
COPY --from=worker-packages /opt/rankgres /opt/rankgres
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
COPY --from=models --chown=rankgres:rankgres /models /var/lib/rankgres/models
USER rankgres
CMD ["rankgres", "worker", "embed"]
# docker-compose.yml runs other queues from this image, and checks each by its own name.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m \
    CMD ["rankgres", "doctor", "--worker", "embed"]

# Last, so that a build without a target makes it.
FROM runtime AS service
COPY --from=service-packages /opt/rankgres /opt/rankgres
RUN --mount=type=bind,from=wheel,source=/wheels,target=/wheels pip install --no-deps /wheels/*.whl
USER rankgres
ENV RANKGRES_SERVICE_HOST=0.0.0.0
EXPOSE 8433
CMD ["rankgres", "serve"]
HEALTHCHECK --interval=15s --timeout=5s --start-period=1m CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8433/health/ready', timeout=4)"]
