# syntax=docker/dockerfile:1

# The environment is made here, from hashes; what made it stays here.
FROM python:3.13-slim-bookworm AS builder
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/credit-service
COPY constraints.txt ./
RUN /opt/credit-service/bin/pip install --require-hashes --only-binary :all: -r constraints.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY credit_service credit_service
COPY schemas schemas
COPY migrations migrations
RUN /opt/credit-service/bin/pip install --no-deps --no-build-isolation . \
    && /opt/credit-service/bin/pip uninstall -y hatchling editables pathspec pluggy trove-classifiers \
    && /opt/credit-service/bin/pip check \
    && /opt/credit-service/bin/pip uninstall -y pip \
    && /opt/credit-service/bin/credit-service version

FROM python:3.13-slim-bookworm
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="credit-service" \
      org.opencontainers.image.description="Open public-credit registry for China's legal entities" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="docker.io/library/python:3.13-slim-bookworm"

# A fixed uid, so that volumes keep their owner from one image to the next. A new named volume takes over the owner of
# the folder it is mounted on.
RUN groupadd --gid 10001 credit-service \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/credit-service --shell /usr/sbin/nologin \
        credit-service \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/credit-service \
    && install -d -o 10001 -g 10001 -m 0700 /var/lib/credit-service/keys /var/lib/credit-service/evidence /backups
COPY --from=builder /opt/credit-service /opt/credit-service

ENV PATH=/opt/credit-service/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    CREDIT_DATA_DIR=/var/lib/credit-service
USER 10001:10001
WORKDIR /var/lib/credit-service
EXPOSE 8000
STOPSIGNAL SIGTERM
# /readyz: the database answers and is at this program's revision.
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --retries=3 CMD ["credit-service", "healthcheck"]
ENTRYPOINT ["credit-service"]
CMD ["serve", "--host", "0.0.0.0"]
