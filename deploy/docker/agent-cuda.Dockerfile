# The agent for NVIDIA GPUs, T4 (sm_75) and later. Run from the repository's root:
#   docker build -f deploy/docker/agent-cuda.Dockerfile -t fleetmark/agent-cuda .
#   docker run --gpus all fleetmark/agent-cuda join --device cuda:0 ...
# The program links to the driver's libcuda.so.1, which the NVIDIA container toolkit provides, and
# doesn't start without it. This image therefore complements the CPU image instead of replacing it.

ARG RUST_IMAGE=rust:1.95.0-bullseye@sha256:28afaeb8445f2a2e7d878bd34ed39ba02bb517efb29986188cbd59b7cf4f2fdf
ARG BUILD_IMAGE=nvidia/cuda:12.4.1-devel-ubuntu22.04@sha256:da6791294b0b04d7e65d87b7451d6f2390b4d36225ab0701ee7dfec5769829f5
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:66aa873a4a14fb164aa01296058efd8253744606d72715e45acface073359faa
ARG PROGRAMS=build

FROM ${RUST_IMAGE} AS rust

FROM ${BUILD_IMAGE} AS build
# Kernels target the oldest supported GPU; the driver recompiles them for newer ones.
ARG CUDA_COMPUTE_CAP=75
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup PATH=/usr/local/cargo/bin:$PATH \
    CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP} LIBRARY_PATH=/usr/local/cuda/lib64/stubs
RUN cargo install --locked cargo-about@0.9.3 --features cli && cargo install --locked cargo-cyclonedx@0.5.9
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    tools/release.sh programs /out --features agent/cuda
# The libraries it links to, apart from the driver: a tenth of the size of the toolkit's image.
WORKDIR /usr/local/cuda/lib64
RUN mkdir /out/cuda && \
    cp -a libcudart.so.12* libcublas.so.12* libcublasLt.so.12* libcurand.so.10* libnvrtc.so.12* libnvrtc-builtins.so.12* /out/cuda/

FROM ${PROGRAMS} AS programs

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="fleetmark-agent-cuda" \
      org.opencontainers.image.description="Runs leased shards of T5 inference on an NVIDIA GPU and streams every sample to the controller" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=programs /out/cuda /usr/local/cuda/lib64
COPY --from=programs /out/agent /usr/local/bin/agent
COPY --from=programs /out/doc /usr/share/doc/fleetmark
COPY --from=programs --chown=65532:65532 /out/empty /data
# utility provides NVML, which reads the GPU's telemetry.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/lib/x86_64-linux-gnu HF_HOME=/data/huggingface
WORKDIR /data
USER 65532:65532
EXPOSE 9465
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
    CMD ["/usr/local/bin/agent", "health", "--metrics", "9465"]
ENTRYPOINT ["/usr/local/bin/agent"]
CMD ["--help"]
