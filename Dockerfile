# One image for each service, which only has what that service needs:
#
#   docker build --build-arg SERVICE=catalog-api -t aggregator/catalog-api .
#
# SERVICE is catalog-api, offers-sync, price-history or offers-simulator. Any image of Debian or Alpine's kind with a
# Python from 3.11 will do as PYTHON_IMAGE. The decisions are in docs/adr/0015; BuildKit is not needed.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS builder
# As pip knows it: a company's own index. It stays in this stage.
ARG PIP_INDEX_URL
ENV PATH=/opt/uv/bin:$PATH VIRTUAL_ENV=/app UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1
WORKDIR /build
COPY deploy/docker/locked.sh deploy/docker/
COPY requirements.lock ./
RUN sh deploy/docker/locked.sh get-uv /opt/uv && uv venv --python "$(command -v python3)" "$VIRTUAL_ENV"
# The service is the only one of the workspace's services that is here, under a name of its own.
COPY pyproject.toml ./
COPY contracts contracts
COPY libs libs
ARG SERVICE
COPY services/${SERVICE}*/pyproject.toml tools/${SERVICE}*/pyproject.toml services/this/
RUN sh deploy/docker/locked.sh install --requirements services/this/pyproject.toml
COPY services/${SERVICE}* tools/${SERVICE}* services/this/
RUN sh deploy/docker/locked.sh install --no-deps ./services/this && sh deploy/docker/locked.sh check

FROM ${PYTHON_IMAGE}
# Nothing that installs or builds packages is left.
COPY deploy/docker/remove_installers.py /tmp/
RUN python3 -I /tmp/remove_installers.py && rm /tmp/remove_installers.py
COPY deploy/docker/service.py /usr/local/bin/service
COPY deploy/docker/healthy.py /usr/local/bin/healthy
ARG SERVICE
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.description="A service of the product aggregator" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# The simulator's state, in a volume, belongs to the user that runs it.
RUN ln -s service "/usr/local/bin/${SERVICE}" && mkdir /state && chown 10001:10001 /state
COPY --from=builder /app /app
# Whatever process it is, it answers on port 8000 of its container.
ENV SERVICE=${SERVICE} HOST=0.0.0.0 PORT=8000 HEALTH_HOST=0.0.0.0 HEALTH_PORT=8000 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["healthy", "/healthz"]
ENTRYPOINT ["service"]
