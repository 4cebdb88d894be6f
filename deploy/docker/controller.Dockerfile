# The controller. Run from the repository's root:
#   docker build -f deploy/docker/controller.Dockerfile -t fleetmark/controller .

# Base images are pinned by digest. The build image has an old glibc (2.31), so that the programs run
# on older systems; the run-time image needs glibc, libgcc and CA certificates.
ARG BUILD_IMAGE=rust:1.95.0-bullseye@sha256:28afaeb8445f2a2e7d878bd34ed39ba02bb517efb29986188cbd59b7cf4f2fdf
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:66aa873a4a14fb164aa01296058efd8253744606d72715e45acface073359faa
# The compiling stage below, or an image that already has the same files in /out.
ARG PROGRAMS=build

FROM ${BUILD_IMAGE} AS build
RUN cargo install --locked cargo-about@0.9.3 --features cli && cargo install --locked cargo-cyclonedx@0.5.9
WORKDIR /src
COPY . .
# Builds both programs, so that the agent's image reuses this layer.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    tools/release.sh programs /out

FROM ${PROGRAMS} AS programs

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fleetmark-controller" \
      org.opencontainers.image.description="Benchmarks T5 summarization across instance types, and reports the cost per 1,000 summaries" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=programs /out/controller /usr/local/bin/controller
COPY --from=programs /out/doc /usr/share/doc/fleetmark
# Campaigns, results and certificates are stored here; mount a volume.
COPY --from=programs --chown=65532:65532 /out/empty /data
WORKDIR /data
USER 65532:65532
EXPOSE 7437 9464
STOPSIGNAL SIGTERM
# Requires --metrics 9464; change both to use another port.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/controller", "health", "--metrics", "9464"]
ENTRYPOINT ["/usr/local/bin/controller"]
CMD ["--help"]
