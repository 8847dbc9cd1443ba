"""A whole project of Django in a file: ``python beside_django.py check``."""

from __future__ import annotations

import sys

from django.conf import settings
from django.core.management import execute_from_command_line

settings.configure(
    DEBUG=True,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF="beside_django_urls",
    WSGI_APPLICATION="beside_django_wsgi.application",
    SECRET_KEY="of a test",
)

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
