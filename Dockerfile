# Puts fedboot in front of a Beam SDK image's command.
#
#   docker build --build-arg BASE_IMAGE=apache/beam_java17_sdk:2.77.0 --tag IMAGE .
#
# Any image that has /opt/apache/beam/boot will do: Python, Java, the distroless Go image. Role and region are no business
# of an image: they come from the environment or from metadata attributes, so one image serves every team.
#
# For a Dockerfile of your own, the binary alone:
#
#   docker build --target binary --tag fedboot .
#
#   FROM apache/beam_python3.12_sdk:2.77.0
#   COPY --from=fedboot /usr/local/bin/fedboot /usr/local/bin/fedboot
#   ENTRYPOINT ["fedboot","--","/opt/apache/beam/boot"]
#
# Needs BuildKit (Docker's default since 23.0; before that DOCKER_BUILDKIT=1), Podman or Buildah.

ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=docker.io/apache/beam_python3.12_sdk:2.77.0


# The compiler runs on the machine that builds and compiles for the one that will run: `--platform linux/arm64` on an
# amd64 builder needs no emulation, here or below.
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS build

# The C in `ring` wants a compiler. Before the sources, so that it is done once.
ARG TARGETARCH
# Not pinned: a Debian release keeps one version of a compiler.
# hadolint ignore=DL3008
RUN case "$TARGETARCH" in \
        amd64) cpu=x86_64 package=gcc-x86-64-linux-gnu ;; \
        arm64) cpu=aarch64 package=gcc-aarch64-linux-gnu ;; \
        *) echo "fedboot is built for amd64 and arm64, not for '$TARGETARCH'" >&2; exit 1 ;; \
    esac \
    && rustup target add "$cpu-unknown-linux-musl" \
    && if ! command -v "$cpu-linux-gnu-gcc"; then \
        apt-get update \
        && apt-get install --yes --no-install-recommends \
            "$package" "libc6-dev-$TARGETARCH-cross" \
        && rm -rf /var/lib/apt/lists/*; \
    fi \
    && echo "$cpu-unknown-linux-musl" > /triple

WORKDIR /src
# .dockerignore lets through what the build reads, and nothing else.
COPY . .

# The cache holds crates and object files between builds and is no part of any image; a directory for each architecture
# lets them compile side by side. cargo tells by modification times what changed, and those of a checkout can be older
# than the last build: so that a stale binary never passes for a new one, sources that are not byte for byte the ones of
# the last good build all count as changed.
RUN --mount=type=cache,target=/cache \
    triple="$(cat /triple)" cache="/cache/$TARGETARCH" \
    && find . -type f -exec sha256sum {} + > /sources \
    && sort -o /sources /sources \
    && if ! cmp -s /sources "$cache/sources"; then find . -name '*.rs' -exec touch {} +; fi \
    && rm -f "$cache/sources" \
    && CARGO_HOME=/cache/cargo CARGO_TARGET_DIR="$cache" \
        packaging/binary "$triple" \
    && cp /sources "$cache/sources" \
    && install -D -m 0755 "$cache/$triple/release/fedboot" /out/usr/local/bin/fedboot

# The same sources make the same layer: packaging/binary takes care of the bytes, this of the dates. The oldest that every
# kind of archive can hold, unless the builder says another one.
ARG SOURCE_DATE_EPOCH=315532800
RUN find /out -exec touch --date="@$SOURCE_DATE_EPOCH" {} +


# The binary and nothing else, to copy from. Its labels are fedboot's:
#
#   docker build --target binary --build-arg REVISION="$(git rev-parse HEAD)" --tag fedboot .
FROM scratch AS binary
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fedboot" \
      org.opencontainers.image.description="Stands in front of a container's command and gives it short-lived cloud credentials" \
      org.opencontainers.image.source="https://github.com/fedboot/fedboot" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out /


# No RUN below this line: there may be no shell. No ENV and no LABEL either: what the image says is the base's own, but
# for the entrypoint. (These labels tell what an image is, and this one is Beam's, or yours. `fedboot --version` tells the
# rest, in every image.)
FROM ${BASE_IMAGE}
COPY --from=binary /usr/local/bin/fedboot /usr/local/bin/fedboot
ENTRYPOINT ["fedboot","--","/opt/apache/beam/boot"]
