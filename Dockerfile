# The portal in one image: web server, Celery workers and beat differ only in the command (see docker-compose.yml).
FROM node:22-slim AS assets
WORKDIR /assets
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM python:3.12-slim
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements/production.txt requirements/
RUN pip install --no-cache-dir --require-hashes -r requirements/production.txt
COPY --from=assets /assets/node_modules/@tabler node_modules/@tabler
COPY --from=assets /assets/node_modules/@fontsource-variable node_modules/@fontsource-variable
COPY manage.py ./
COPY portal portal
COPY accessmgmt accessmgmt
COPY templates templates
COPY static static
RUN useradd --system --home /nonexistent portal \
    && install -d -o portal /audit \
    && PORTAL_SECRET_KEY=build PORTAL_ENCRYPTION_KEYS=x PORTAL_INSTALLATION_ID=build \
       DATABASE_URL=postgres://build@localhost/build REDIS_URL=redis://localhost python manage.py collectstatic --noinput
USER portal
EXPOSE 8000
CMD ["gunicorn", "portal.wsgi:application", "--bind=0.0.0.0:8000", "--worker-class=gthread", "--workers=2", "--threads=8"]
