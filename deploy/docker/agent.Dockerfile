# The agent, for CPUs and NVIDIA GPUs. Run from the repository's root:
#   docker build -f deploy/docker/agent.Dockerfile -t fleetmark/agent .

# Same base images and first stage as controller.Dockerfile.
ARG BUILD_IMAGE=rust:1.95.0-bullseye@sha256:28afaeb8445f2a2e7d878bd34ed39ba02bb517efb29986188cbd59b7cf4f2fdf
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:66aa873a4a14fb164aa01296058efd8253744606d72715e45acface073359faa
ARG PROGRAMS=build

FROM ${BUILD_IMAGE} AS build
RUN cargo install --locked cargo-about@0.9.3 --features cli && cargo install --locked cargo-cyclonedx@0.5.9
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    tools/release.sh programs /out

FROM ${PROGRAMS} AS programs

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fleetmark-agent" \
      org.opencontainers.image.description="Runs leased shards of T5 inference and streams every sample to the controller" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=programs /out/agent /usr/local/bin/agent
COPY --from=programs /out/doc /usr/share/doc/fleetmark
# Downloaded models are stored here; mount a volume to keep them.
COPY --from=programs --chown=65532:65532 /out/empty /data
# With GPUs (docker run --gpus all): compute provides the driver's libcuda.so.1, utility NVML, which
# reads the GPU's telemetry.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility HF_HOME=/data/huggingface
WORKDIR /data
USER 65532:65532
EXPOSE 9465
STOPSIGNAL SIGTERM
# Requires --metrics 9465; change both to use another port.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/agent", "health", "--metrics", "9465"]
ENTRYPOINT ["/usr/local/bin/agent"]
CMD ["--help"]
