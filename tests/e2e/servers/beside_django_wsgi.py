"""What servers load of a project of Django, and its other commands do not."""

from __future__ import annotations

import beside
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
beside.take_part()
