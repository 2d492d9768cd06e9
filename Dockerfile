# The same as `make demo` and `make test`, for everyone else:
#   docker build -t bandwise .
#   docker run --rm -v "$PWD:/out" bandwise crossval --help
#   docker run --rm bandwise make test        (installs the test tools first)
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates fluidsynth git make mma python3 python3-venv timgm6mb-soundfont \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /bandwise
COPY . .
RUN PIP_NO_CACHE_DIR=1 scripts/setup.sh package
ENV PATH=/bandwise/.venv/bin:$PATH
ENTRYPOINT ["/bandwise/scripts/entrypoint.sh"]
CMD ["bandwise", "--help"]
