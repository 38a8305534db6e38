# The demo outside a Space: docker build -t urial . && docker run -p 7860:7860 urial   (docs/hosting.md)
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 demo
USER demo
WORKDIR /home/demo/app
ENV URIAL_HOST=0.0.0.0 URIAL_PORT=7860 URIAL_CACHE=/home/demo/cache PYTHONUNBUFFERED=1
COPY --chown=demo requirements.txt ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir -r requirements.txt
COPY --chown=demo . ./
# converts the packaged weights and compiles the decoding step once, so that a container starts in seconds
RUN .venv/bin/python -m urial compare "Why do cats purr?" --max-new-tokens 4 --json > /dev/null
EXPOSE 7860
CMD [".venv/bin/python", "app.py"]
