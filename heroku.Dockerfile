# One image with all three services, as an app on Heroku's container stack has one for all its processes. Anywhere else
# each service has an image of its own: see Dockerfile.
FROM python:3.13-slim-bookworm
WORKDIR /app
COPY requirements.txt requirements.lock pyproject.toml ./
COPY bin bin
COPY contracts contracts
COPY libs libs
COPY services services
RUN pip install --quiet --no-cache-dir --requirement requirements.txt && bash bin/post_compile
COPY deploy/heroku deploy/heroku
USER 10001:10001
CMD ["bash", "deploy/heroku/web.sh"]
