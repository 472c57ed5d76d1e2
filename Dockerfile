# syntax=docker/dockerfile:1
# docker build -t exportbox .                       the daemon: one static-ish binary, no shell, not root
# docker build -t exportbox-sandbox --target sandbox .   S3 and a mailbox for development

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --locked --release --no-default-features && cp target/release/exportbox /exportbox

FROM rust:1.95-bookworm AS build-sandbox
WORKDIR /build
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --locked --release && cp target/release/exportbox /exportbox

FROM gcr.io/distroless/cc-debian12:nonroot AS sandbox
COPY --from=build-sandbox /exportbox /usr/local/bin/exportbox
EXPOSE 9000 9001
ENTRYPOINT ["/usr/local/bin/exportbox"]
CMD ["sandbox", "--without-postgres", "--listen", "0.0.0.0", "--s3-port", "9000", "--ses-port", "9001"]

FROM gcr.io/distroless/cc-debian12:nonroot AS daemon
COPY --from=build /exportbox /usr/local/bin/exportbox
# EXEC form: SIGTERM reaches exportbox itself. ECS ignores HEALTHCHECK; give it ["CMD", "/usr/local/bin/exportbox", "health"].
ENTRYPOINT ["/usr/local/bin/exportbox"]
CMD ["run"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/local/bin/exportbox", "health"]
