"""An application of Flask under `flask run --debug`."""

from __future__ import annotations

import beside
from flask import Flask
from werkzeug.serving import is_running_from_reloader

app = Flask(__name__)

if is_running_from_reloader():  # not in its parent, which loads this too
    beside.take_part()
