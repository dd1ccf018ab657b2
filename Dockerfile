# The supervisor as PID 1 of a container: docs/containers.md.
#
#   docker build --tag a2a-sup .
#   docker build --tag a2a-sup:node --target node .     # with Node, for servers run by npx
#
# For a build that is the same every time, name the bases by digest:
#   --build-arg PYTHON=python:3.13-slim@sha256:...

ARG PYTHON=python:3.13-slim
ARG NODE=node:22-slim

# --- everything that is only needed to build stays here --------------------------------------------

FROM ${PYTHON} AS builder
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# Without pip in it: nothing is ever installed where it runs.
RUN python3 -m venv --without-pip /opt/a2a-sup
# What changes rarely comes first: a change of our code alone downloads nothing.
COPY constraints-run.txt ./
RUN python3 -m pip --python /opt/a2a-sup/bin/python install \
        --require-hashes --only-binary :all: -r constraints-run.txt
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY a2a_sup ./a2a_sup
RUN sed --regexp-extended '/^ +--hash/d; s/ \\$//' constraints.txt >pins.txt \
    && PIP_CONSTRAINT=pins.txt python3 -m pip wheel --no-deps --wheel-dir /wheels . \
    && python3 -m pip --python /opt/a2a-sup/bin/python install --no-deps --no-index /wheels/*.whl

# --- what runs -------------------------------------------------------------------------------------

FROM ${PYTHON} AS runtime
RUN groupadd --gid 10001 a2a-sup \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/a2a-sup \
        --shell /usr/sbin/nologin a2a-sup \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/a2a-sup \
    && install --directory /etc/a2a-sup
COPY --from=builder /opt/a2a-sup /opt/a2a-sup
# To be reached from outside, it listens on all addresses: here that is a choice, and whatever
# changes something needs a token.
ENV PATH=/opt/a2a-sup/bin:$PATH \
    A2A_SUP_HTTP=0.0.0.0:3000 \
    A2A_SUP_DASHBOARD=0.0.0.0:9000 \
    A2A_SUP_CONTROL=/var/lib/a2a-sup/control.sock \
    A2A_SUP_STATE_DIR=/var/lib/a2a-sup
USER 10001:10001
WORKDIR /var/lib/a2a-sup
VOLUME /var/lib/a2a-sup
EXPOSE 3000 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:3000/livez', timeout=4)"]
ENTRYPOINT ["a2a-sup", "run"]
CMD ["/etc/a2a-sup/tree.toml"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="a2a-sup" \
      org.opencontainers.image.description="A supervision tree for MCP servers and other processes" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

# --- with Node, for those who ask for it -------------------------------------------------------------

FROM ${NODE} AS node-itself

FROM runtime AS node
COPY --from=node-itself /usr/local/bin/node /usr/local/bin/node
COPY --from=node-itself /usr/local/lib/node_modules /usr/local/lib/node_modules
USER 0
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
    && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
USER 10001:10001
# The root is read-only: what npx downloads goes into the volume.
ENV npm_config_cache=/var/lib/a2a-sup/npm \
    npm_config_update_notifier=false

# --- the default --------------------------------------------------------------------------------------

FROM runtime AS supervisor
