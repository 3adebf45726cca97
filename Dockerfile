# syntax=docker/dockerfile:1
# Quilt on Debian 12, in two stages. What is installed comes from .make/packages, as in `make run`.
#
#   docker build --tag quilt .
#   docker run --publish 8080:8080 --publish 40000:40000/udp --publish 40000:40000/tcp \
#       --env QUILT_PUBLIC_IP=203.0.113.7 quilt

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY .make .make
RUN .make/setup build
COPY . .
# The caches make a second build short; what is wanted of them is copied out, for they are no part of
# the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked \
    && .make/notices >/usr/local/share/notices \
    && cp target/release/quilt /usr/local/bin/quilt

FROM debian:12-slim
COPY .make /tmp/make
RUN /tmp/make/setup run && rm -rf /tmp/make /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/quilt quilt \
    && install --directory --owner=quilt --group=quilt /var/lib/quilt /var/lib/quilt/data
COPY --from=build /usr/local/bin/quilt /usr/local/bin/quilt
COPY --from=build /usr/local/share/notices /usr/share/doc/quilt/notices
COPY LICENSE /usr/share/doc/quilt/LICENSE

USER quilt
WORKDIR /var/lib/quilt
ENV QUILT_LISTEN=0.0.0.0:8080 QUILT_RTC_LISTEN=0.0.0.0:40000 QUILT_DATA_DIR=/var/lib/quilt/data
EXPOSE 8080/tcp 40000/udp 40000/tcp
VOLUME /var/lib/quilt/data
# bash speaks TCP: a client program for this one question would be one more to keep up to date.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n' >&3 && head -n 1 <&3 | grep -q ' 200 '"]
ENTRYPOINT ["quilt"]
CMD ["serve"]
